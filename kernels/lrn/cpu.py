"""Local response normalisation on all cores: a pixel's C channels lie side by side, so a window is a run of memory.

The sum over a window is taken as ``size`` shifted additions of whole rows of squares, padded with zeros at both ends:
more additions than a running sum, but free of its rounding drift, and the compiler turns them into vector code.
"""

import numpy as np

from ..jit import inline, jit, prange
from ..layout import channels_last


def forward(x, y, scale, *, size, alpha, beta, k):
    number = x.dtype.type
    _forward(*map(_pixels, (x, y, scale)), size, number(alpha / size), number(beta), number(k))


def backward(x, y, scale, gy, gx, *, size, alpha, beta, k):
    number = x.dtype.type
    _backward(*map(_pixels, (x, y, scale, gy, gx)), size, number(2 * alpha * beta / size), number(beta))


def _pixels(x):
    """(N, C, H, W) as (N*H, W, C): the first axis is what the threads share out."""
    nhwc = channels_last(x)
    return nhwc.reshape(-1, *nhwc.shape[2:])


@inline
def _window_sums(padded, size, sums):
    """sums[c] = padded[c] + ... + padded[c + size - 1]."""
    sums[:] = padded[:sums.size]
    for j in range(1, size):
        for c in range(sums.size):
            sums[c] += padded[c + j]


@inline
def _to_minus_beta(scale, beta, power):
    """power = scale**-beta; the usual 3/4 by square roots, an order of magnitude faster than pow."""
    if beta == 0.75:
        for c in range(scale.size):
            root = np.sqrt(np.reciprocal(scale[c]))  # scale**(-1/2); infinity gives 0, as it should
            power[c] = root * np.sqrt(root)
    else:
        for c in range(scale.size):
            power[c] = scale[c] ** -beta


@jit
def _forward(x, y, scale, size, alpha_over_size, beta, k):
    rows, W, C = x.shape
    for row in prange(rows):
        squares = np.zeros(C + size - 1, x.dtype)
        for w in range(W):
            for c in range(C):
                squares[size // 2 + c] = x[row, w, c] * x[row, w, c]
            _window_sums(squares, size, scale[row, w])
            for c in range(C):
                scale[row, w, c] = k + alpha_over_size * scale[row, w, c]
            _to_minus_beta(scale[row, w], beta, y[row, w])
            for c in range(C):
                y[row, w, c] *= x[row, w, c]


@jit
def _backward(x, y, scale, gy, gx, size, factor, beta):
    rows, W, C = x.shape
    for row in prange(rows):
        ratios, sums = np.zeros(C + size - 1, x.dtype), np.empty(C, x.dtype)
        for w in range(W):
            for c in range(C):
                ratios[(size - 1) // 2 + c] = gy[row, w, c] * y[row, w, c] / scale[row, w, c]
            _window_sums(ratios, size, sums)
            _to_minus_beta(scale[row, w], beta, gx[row, w])
            for c in range(C):
                gx[row, w, c] = gx[row, w, c] * gy[row, w, c] - factor * x[row, w, c] * sums[c]
