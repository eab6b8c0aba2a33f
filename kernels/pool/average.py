"""The means of windows, and their gradient.

A window is the pixels that two tables of :func:`windows`, or :func:`bins`, name: so many of a row, of so many rows.
"""

import numpy as np

from ..jit import apart, inline, jit, prange
from ..runs import add, clear, run
from ..shapes import planned

_FEW = 8  # rows and columns of a window; a larger one, which may be a whole image, is summed in double precision


@planned
def windows(x_shape, y_shape, kernel_size, stride, padding, count_include_pad):
    """Of each window, along each axis: [from, up to which pixel it reaches, how many count].  Kept: only to be read."""
    axes = []
    for size, outputs, kernel, step, pad in zip(x_shape[2:], y_shape[2:], kernel_size, stride, padding, strict=True):
        begin = np.arange(outputs) * step - pad
        end, low, high = begin + kernel, np.maximum(begin, 0), np.minimum(begin + kernel, size)
        axes.append(np.stack((low, high, np.minimum(end, size + pad) - begin if count_include_pad else high - low)))
    return axes


@planned
def bins(x_shape, y_shape):
    """The same of the bins of adaptive pooling."""
    axes = []
    for size, outputs in zip(x_shape[2:], y_shape[2:], strict=True):
        here = np.arange(outputs)
        low, high = here * size // outputs, -(-(here + 1) * size // outputs)
        axes.append(np.stack((low, high, high - low)))
    return axes


@jit
def forward(x, y, rows, columns):
    (N, H, W, C), P, Q = x.shape, y.shape[1], y.shape[2]
    widest = np.max(columns[1] - columns[0])
    for row in prange(N * P):
        n, p = row // P, row % P
        h0, h1 = rows[0, p], rows[1, p]
        if max(h1 - h0, widest) <= 3:
            # Not the arrays: to choose between two counts as a reference to each, and x's count is that of all threads.
            zeros = np.zeros(C, x.dtype)
            pixels, nothing = run(x, 0, x.size), run(zeros, 0, C)
            for q in range(Q):
                _mean(pixels, ((n * H + h0) * W + columns[0, q]) * C, W * C, h1 - h0, columns[1, q] - columns[0, q],
                      nothing, rows[2, p] * columns[2, q], run(y, (row * Q + q) * C, C))
        elif max(h1 - h0, widest) <= _FEW:
            sums = np.zeros(W * C, x.dtype)  # of the columns of pixels, for all windows
            for h in range(h0, h1):
                _add_part(run(x, (n * H + h) * W * C, W * C), 1, sums)
            for q in range(Q):
                mean = run(y, (row * Q + q) * C, C)
                clear(mean)
                for w in range(columns[0, q], columns[1, q]):
                    _add_part(run(sums, w * C, C), rows[2, p] * columns[2, q], mean)
        else:
            total = np.empty(C)
            for q in range(Q):
                clear(total)
                for h in range(h0, h1):
                    for w in range(columns[0, q], columns[1, q]):
                        add(total, run(x, ((n * H + h) * W + w) * C, C))
                for c in range(C):
                    y[n, p, q, c] = total[c] / (rows[2, p] * columns[2, q])


@apart
def _mean(pixels, at, down, rows, columns, nothing, count, mean):
    """Of up to 3 x 3 pixels from element ``at`` on, whose rows are ``down`` elements apart."""
    C, factor = mean.size, mean.dtype.type(1 / count)
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = (
        _three(pixels, at, C, columns, nothing), _three(pixels, at + down, C, columns if rows > 1 else 0, nothing),
        _three(pixels, at + 2 * down, C, columns if rows > 2 else 0, nothing))
    for i in range(C):
        mean[i] = ((a0[i] + a1[i] + a2[i]) + (b0[i] + b1[i] + b2[i]) + (c0[i] + c1[i] + c2[i])) * factor


@inline
def _three(pixels, at, C, columns, nothing):
    """Three pixels side by side in memory, nothing in place of those beyond the columns."""
    return (run(pixels, at, C) if columns > 0 else nothing, run(pixels, at + C, C) if columns > 1 else nothing,
            run(pixels, at + 2 * C, C) if columns > 2 else nothing)


@jit
def backward(gy, gx, rows, columns):
    (N, H, W, C), P, Q = gx.shape, gy.shape[1], gy.shape[2]
    for row in prange(N * H):
        n, h = row // H, row % H
        p0, p1 = np.searchsorted(rows[1], h, "right"), np.searchsorted(rows[0], h, "right")  # the windows over it
        sent = np.empty(C, gx.dtype)  # to the row's pixels, by windows above each other
        clear(run(gx, row * W * C, W * C))
        for q in range(Q):
            clear(sent)
            for p in range(p0, p1):
                _add_part(run(gy, ((n * P + p) * Q + q) * C, C), rows[2, p] * columns[2, q], sent)
            for w in range(columns[0, q], columns[1, q]):
                add(run(gx, (row * W + w) * C, C), sent)


@apart
def _add_part(whole, count, total):
    part = total.dtype.type(1 / count)
    for i in range(total.size):
        total[i] += whole[i] * part
