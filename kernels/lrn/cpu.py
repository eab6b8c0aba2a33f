"""Local response normalisation on all cores: threads share out the image rows, ``pixel.py`` does a pixel."""

import numpy as np

from ..jit import jit, prange
from ..layout import channels_last
from .pixel import gradient, scale_of, to_minus_beta


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


@jit
def _forward(x, y, scale, size, alpha_over_size, beta, k):
    rows, W, C = x.shape
    for row in prange(rows):
        squares = np.zeros(C + size - 1, x.dtype)
        for w in range(W):
            pixel, normalised = x[row, w], y[row, w]
            scale_of(pixel, squares, size, alpha_over_size, k, scale[row, w])
            to_minus_beta(scale[row, w], beta, normalised)
            for c in range(C):
                normalised[c] *= pixel[c]


@jit
def _backward(x, y, scale, gy, gx, size, factor, beta):
    rows, W, C = x.shape
    for row in prange(rows):
        ratios, sums, power = np.zeros(C + size - 1, x.dtype), np.empty(C, x.dtype), np.empty(C, x.dtype)
        for w in range(W):
            to_minus_beta(scale[row, w], beta, power)
            gradient(x[row, w], y[row, w], power, scale[row, w], gy[row, w], ratios, size, factor, sums, gx[row, w])
