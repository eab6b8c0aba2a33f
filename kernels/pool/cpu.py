"""Pooling on all cores: pixels are vectors of C channels, so every inner loop runs over channels with stride 1.

Forward, each thread makes rows of the output.  Backward, each thread makes rows of the *input* gradient, and looks up
which windows reach into its row: two threads never write to one place, and each sum has a fixed order.
"""

import numpy as np

from .. import tile
from ..jit import jit, prange
from ..layout import channels_last
from ..shapes import planned
from .window import gather_row, largest_row


def max_forward(x, y, index, *, kernel_size, stride, padding):
    from_memory = x.nbytes + y.nbytes + index.nbytes > tile.LARGE  # what lies in a cache need not be asked for
    _max_forward(channels_last(x), channels_last(y), channels_last(index), *kernel_size, *stride, *padding,
                 stride[0] if from_memory else 0)


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    _max_backward(channels_last(gy), channels_last(index), channels_last(gx), *kernel_size, *stride, *padding)


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    _average_forward(channels_last(x), channels_last(y),
                     *_windows(x.shape, y.shape, kernel_size, stride, padding, count_include_pad))


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    _average_backward(channels_last(gy), channels_last(gx),
                      *_windows(gx.shape, gy.shape, kernel_size, stride, padding, count_include_pad))


def adaptive_average_forward(x, y):
    _average_forward(channels_last(x), channels_last(y), *_bins(x.shape, y.shape))


def adaptive_average_backward(gy, gx):
    _average_backward(channels_last(gy), channels_last(gx), *_bins(gx.shape, gy.shape))


@jit
def _max_forward(x, y, index, R, S, stride_h, stride_w, pad_h, pad_w, ahead):
    (N, H, W, C), P = x.shape, y.shape[1]
    for row in prange(N * P):
        n, top = row // P, row % P * stride_h - pad_h
        r0, r1 = max(0, -top), min(R, H - top)
        largest_row(x, (n * H + top + r0) * W * C, W, r1 - r0, r0 * S, S, stride_w, pad_w, y, index, row, ahead)


@jit
def _max_backward(gy, index, gx, R, S, stride_h, stride_w, pad_h, pad_w):
    N, H, W, C = gx.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        gather_row(gy, index, n, h, W, R, S, stride_h, stride_w, pad_h, pad_w, gx, row * W * C)


@planned
def _windows(x_shape, y_shape, kernel_size, stride, padding, count_include_pad):
    """Of each window, along each axis: [from, up to which pixel it reaches, how many count].  Kept: only to be read."""
    axes = []
    for size, outputs, kernel, step, pad in zip(x_shape[2:], y_shape[2:], kernel_size, stride, padding, strict=True):
        begin = np.arange(outputs) * step - pad
        end, low, high = begin + kernel, np.maximum(begin, 0), np.minimum(begin + kernel, size)
        axes.append(np.stack((low, high, np.minimum(end, size + pad) - begin if count_include_pad else high - low)))
    return axes


@planned
def _bins(x_shape, y_shape):
    """The same of the bins of adaptive pooling."""
    axes = []
    for size, outputs in zip(x_shape[2:], y_shape[2:], strict=True):
        bins = np.arange(outputs)
        low, high = bins * size // outputs, -(-(bins + 1) * size // outputs)
        axes.append(np.stack((low, high, high - low)))
    return axes


@jit
def _average_forward(x, y, rows, columns):
    N, P, Q, C = y.shape
    for row in prange(N * P):
        n, p = row // P, row % P
        total = np.zeros(C)  # in double precision: a window may be a whole image
        for q in range(Q):
            total[:] = 0
            for h in range(rows[0, p], rows[1, p]):
                for w in range(columns[0, q], columns[1, q]):
                    for c in range(C):
                        total[c] += x[n, h, w, c]
            count = rows[2, p] * columns[2, q]
            for c in range(C):
                y[n, p, q, c] = total[c] / count


@jit
def _average_backward(gy, gx, rows, columns):
    (N, H, _, C), P, Q = gx.shape, gy.shape[1], gy.shape[2]
    for row in prange(N * H):
        n, h = row // H, row % H
        gx[n, h] = 0
        for p in range(P):
            for q in range(Q if rows[0, p] <= h < rows[1, p] else 0):
                count = rows[2, p] * columns[2, q]
                for w in range(columns[0, q], columns[1, q]):
                    for c in range(C):
                        gx[n, h, w, c] += gy[n, p, q, c] / count
