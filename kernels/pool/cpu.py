"""Pooling on all cores: pixels are vectors of C channels, so every inner loop runs over channels with stride 1.

Forward, each thread makes rows of the output.  Backward, each thread makes rows of the *input* gradient, and looks up
which windows reach into its row: two threads never write to one place, and each sum has a fixed order.
"""

import numpy as np

from ..jit import inline, jit, prange
from ..layout import channels_last
from ..runs import run
from .window import gather_row, largest, windows_over


def max_forward(x, y, index, *, kernel_size, stride, padding):
    _max_forward(channels_last(x), channels_last(y), channels_last(index), *kernel_size, *stride, *padding)


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    _max_backward(channels_last(gy), channels_last(index), channels_last(gx), *kernel_size, *stride, *padding)


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    _average_forward(channels_last(x), channels_last(y), *kernel_size, *stride, *padding, count_include_pad)


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    _average_backward(channels_last(gy), channels_last(gx), *kernel_size, *stride, *padding, count_include_pad)


def adaptive_average_forward(x, y):
    _adaptive_forward(channels_last(x), channels_last(y))


def adaptive_average_backward(gy, gx):
    _adaptive_backward(channels_last(gy), channels_last(gx))


@jit
def _max_forward(x, y, index, R, S, stride_h, stride_w, pad_h, pad_w):
    N, H, W, C = x.shape
    P, Q = y.shape[1], y.shape[2]
    for row in prange(N * P):
        n, p = row // P, row % P
        top = p * stride_h - pad_h
        for q in range(Q):
            left = q * stride_w - pad_w
            r0, r1, s0, s1 = max(0, -top), min(R, H - top), max(0, -left), min(S, W - left)
            largest(x, ((n * H + top + r0) * W + left + s0) * C, W * C, r1 - r0, s1 - s0, r0 * S + s0, S,
                    run(y, (row * Q + q) * C, C), run(index, (row * Q + q) * C, C))


@jit
def _max_backward(gy, index, gx, R, S, stride_h, stride_w, pad_h, pad_w):
    N, H, W, C = gx.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        gather_row(gy, index, n, h, W, R, S, stride_h, stride_w, pad_h, pad_w, gx, row * W * C)


@inline
def _counted(position, kernel, stride, pad, size, count_include_pad):
    """How many pixels of the window at output ``position`` count, along one axis."""
    begin = position * stride - pad
    if count_include_pad:
        return min(begin + kernel, size + pad) - begin
    return min(begin + kernel, size) - max(begin, 0)


@jit
def _average_forward(x, y, R, S, stride_h, stride_w, pad_h, pad_w, count_include_pad):
    N, H, W, C = x.shape
    P, Q = y.shape[1], y.shape[2]
    for row in prange(N * P):
        n, p = row // P, row % P
        top = p * stride_h - pad_h
        total = np.zeros(C)  # in double precision: a window may be a whole image
        for q in range(Q):
            left = q * stride_w - pad_w
            total[:] = 0
            for h in range(max(top, 0), min(top + R, H)):
                for w in range(max(left, 0), min(left + S, W)):
                    for c in range(C):
                        total[c] += x[n, h, w, c]
            count = (_counted(p, R, stride_h, pad_h, H, count_include_pad)
                     * _counted(q, S, stride_w, pad_w, W, count_include_pad))
            for c in range(C):
                y[n, p, q, c] = total[c] / count


@jit
def _average_backward(gy, gx, R, S, stride_h, stride_w, pad_h, pad_w, count_include_pad):
    N, H, W, C = gx.shape
    P, Q = gy.shape[1], gy.shape[2]
    for row in prange(N * H):
        n, h = row // H, row % H
        gx[n, h] = 0
        p0, p1 = windows_over(h, R, stride_h, pad_h, P)
        for p in range(p0, p1):
            for q in range(Q):
                left = q * stride_w - pad_w
                count = (_counted(p, R, stride_h, pad_h, H, count_include_pad)
                         * _counted(q, S, stride_w, pad_w, W, count_include_pad))
                for w in range(max(left, 0), min(left + S, W)):
                    for c in range(C):
                        gx[n, h, w, c] += gy[n, p, q, c] / count


@jit
def _adaptive_forward(x, y):
    N, H, W, C = x.shape
    P, Q = y.shape[1], y.shape[2]
    for row in prange(N * P):
        n, p = row // P, row % P
        top, bottom = p * H // P, ((p + 1) * H + P - 1) // P
        total = np.zeros(C)  # in double precision, as above
        for q in range(Q):
            left, right = q * W // Q, ((q + 1) * W + Q - 1) // Q
            total[:] = 0
            for h in range(top, bottom):
                for w in range(left, right):
                    for c in range(C):
                        total[c] += x[n, h, w, c]
            for c in range(C):
                y[n, p, q, c] = total[c] / ((bottom - top) * (right - left))


@jit
def _adaptive_backward(gy, gx):
    N, H, W, C = gx.shape
    P, Q = gy.shape[1], gy.shape[2]
    for row in prange(N * H):
        n, h = row // H, row % H
        gx[n, h] = 0
        for p in range(h * P // H, ((h + 1) * P + H - 1) // H):  # the bins that hold row h
            rows = ((p + 1) * H + P - 1) // P - p * H // P
            for q in range(Q):
                left, right = q * W // Q, ((q + 1) * W + Q - 1) // Q
                for w in range(left, right):
                    for c in range(C):
                        gx[n, h, w, c] += gy[n, p, q, c] / (rows * (right - left))
