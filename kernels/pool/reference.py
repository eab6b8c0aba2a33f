"""Pooling, by its definition.  See README.md for the formulas.

x (N,C,H,W), y (N,C,P,Q); the window of output (p, q) covers the rows p*stride-padding .. +R-1 and the columns likewise,
as far as they lie in the image (max) or in the padded image (average that counts its padding).
"""

import numpy as np


def max_forward(x, y, index, *, kernel_size, stride, padding):
    """y = the largest element of each window; index = its place r*S + s in the window, the first one if several are
    equal.  NaN counts as largest.  Padding is -inf: it never wins."""
    for p, q, rows, columns in _windows(x.shape, y.shape, kernel_size, stride, padding):
        window = np.full((*x.shape[:2], *kernel_size), -np.inf, x.dtype)
        r, s = rows.start - (p * stride[0] - padding[0]), columns.start - (q * stride[1] - padding[1])
        window[:, :, r:r + rows.stop - rows.start, s:s + columns.stop - columns.start] = x[:, :, rows, columns]
        # A window of -inf alone must still point at a pixel, never at the padding.
        real = np.zeros(kernel_size, bool)
        real[r:r + rows.stop - rows.start, s:s + columns.stop - columns.start] = True
        flat = window.reshape(*x.shape[:2], -1)
        y[:, :, p, q] = flat.max(axis=2)
        best = np.where(np.isnan(flat), True, flat == y[:, :, p, q, None]) & real.reshape(-1)
        index[:, :, p, q] = np.where(np.isnan(flat).any(axis=2), np.isnan(flat).argmax(axis=2), best.argmax(axis=2))


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    """gx[h, w] = sum of gy[p, q] over the windows that chose pixel (h, w)."""
    gx[...] = 0
    n, c = np.ogrid[:gx.shape[0], :gx.shape[1]]
    for p in range(gy.shape[2]):
        for q in range(gy.shape[3]):
            h = p * stride[0] - padding[0] + index[:, :, p, q].astype(int) // kernel_size[1]
            w = q * stride[1] - padding[1] + index[:, :, p, q].astype(int) % kernel_size[1]
            gx[n, c, h, w] += gy[:, :, p, q]


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    """y = the sum over each window / the number of pixels counted."""
    for p, q, rows, columns in _windows(x.shape, y.shape, kernel_size, stride, padding):
        count = _count(p, q, rows, columns, x.shape, kernel_size, stride, padding, count_include_pad)
        y[:, :, p, q] = x[:, :, rows, columns].sum(axis=(2, 3)) / count


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    """Each pixel of a window gets gy / the number of pixels counted."""
    gx[...] = 0
    for p, q, rows, columns in _windows(gx.shape, gy.shape, kernel_size, stride, padding):
        count = _count(p, q, rows, columns, gx.shape, kernel_size, stride, padding, count_include_pad)
        gx[:, :, rows, columns] += gy[:, :, p, q, None, None] / count


def adaptive_average_forward(x, y):
    """y[p, q] = the mean over rows floor(p*H/P) .. ceil((p+1)*H/P)-1 and columns likewise."""
    for p, q, rows, columns in _bins(x.shape, y.shape):
        y[:, :, p, q] = x[:, :, rows, columns].mean(axis=(2, 3))


def adaptive_average_backward(gy, gx):
    gx[...] = 0
    for p, q, rows, columns in _bins(gx.shape, gy.shape):
        count = (rows.stop - rows.start) * (columns.stop - columns.start)
        gx[:, :, rows, columns] += gy[:, :, p, q, None, None] / count


def _windows(x_shape, y_shape, kernel_size, stride, padding):
    """Every output (p, q) with the rows and columns of the image that its window covers."""
    for p in range(y_shape[2]):
        top = p * stride[0] - padding[0]
        for q in range(y_shape[3]):
            left = q * stride[1] - padding[1]
            yield (p, q, slice(max(top, 0), min(top + kernel_size[0], x_shape[2])),
                   slice(max(left, 0), min(left + kernel_size[1], x_shape[3])))


def _count(p, q, rows, columns, x_shape, kernel_size, stride, padding, count_include_pad):
    if not count_include_pad:
        return (rows.stop - rows.start) * (columns.stop - columns.start)
    top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
    return ((min(top + kernel_size[0], x_shape[2] + padding[0]) - top)
            * (min(left + kernel_size[1], x_shape[3] + padding[1]) - left))


def _bins(x_shape, y_shape):
    """Every output (p, q) of adaptive pooling with the rows and columns that it averages."""
    (H, W), (P, Q) = x_shape[2:], y_shape[2:]
    for p in range(P):
        for q in range(Q):
            yield p, q, slice(p * H // P, -(-(p + 1) * H // P)), slice(q * W // Q, -(-(q + 1) * W // Q))
