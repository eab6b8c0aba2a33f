"""Arithmetic element by element.

What a training step runs on large arrays has a loop on all cores: copy, fill, the sum of two gradients and their
scaling.  The others are NumPy's own vectorised loops, which broadcast, and take any layout.
"""

import numpy as np

from .. import runs
from ..jit import jit, prange
from ..layout import channels_last, flat, is_channels_last, same_order
from ..transpose import transpose_all

_LARGE = 1 << 18  # bytes: below, NumPy is done before other threads have begun


def copy(x, y):
    parallel = y.nbytes >= _LARGE and x.dtype == y.dtype and x.shape == y.shape and x.flags.aligned
    if parallel and same_order(x, y):
        _copy(flat(x), flat(y))
    elif parallel and x.flags.c_contiguous and is_channels_last(y):
        transpose_all(x.reshape(*x.shape[:2], -1), channels_last(y).reshape(len(y), -1, y.shape[1]))
    elif parallel and is_channels_last(x) and y.flags.c_contiguous:
        transpose_all(channels_last(x).reshape(len(x), -1, x.shape[1]), y.reshape(*y.shape[:2], -1))
    elif parallel and x.ndim == 4 and _has_even_pixels(x) and _has_even_pixels(y):
        _copy_pixels(x, y, x.strides[3] // x.itemsize, y.strides[3] // y.itemsize)
    else:
        np.copyto(y, x, casting="unsafe")  # as assignment does: a conversion to integers cuts off the fraction


def fill(y, *, value):
    if y.nbytes >= _LARGE and same_order(y):
        _fill(flat(y), y.dtype.type(value))
    else:
        y.fill(value)


def add(a, b, y):
    if same_order(a, b, y):
        _add(flat(a), flat(b), flat(y))
    else:
        np.add(a, b, out=y)


def sub(a, b, y):
    np.subtract(a, b, out=y)


def mul(a, b, y):
    np.multiply(a, b, out=y)


def div(a, b, y):
    np.divide(a, b, out=y)


def scale(x, y, *, factor):
    if y.nbytes >= _LARGE and same_order(x, y):
        _scale(flat(x), x.dtype.type(factor), flat(y))
    else:
        np.multiply(x, x.dtype.type(factor), out=y)


def power(x, y, *, exponent):
    np.power(x, x.dtype.type(exponent), out=y)


def exp(x, y):
    np.exp(x, out=y)


def log(x, y):
    np.log(x, out=y)


@jit
def _add(a, b, y):
    for i in prange(y.size):
        y[i] = a[i] + b[i]


@jit
def _copy(x, y):
    for i in prange(y.size):
        y[i] = x[i]


@jit
def _copy_pixels(x, y, pitch_x, pitch_y):
    """Pixels, ``pitch`` elements from one to the next, as runs: that their numbers lie side by side is known here."""
    N, C, H, W = x.shape
    for row in prange(N * H):
        for w in range(row * W, (row + 1) * W):
            runs.copy(runs.run_within(y, w * pitch_y, C), runs.run_within(x, w * pitch_x, C))


@jit
def _fill(y, value):
    for i in prange(y.size):
        y[i] = value


@jit
def _scale(x, factor, y):
    for i in prange(y.size):
        y[i] = x[i] * factor


def _has_even_pixels(x):
    """Whether pixels are vectors at equal distances: a slice of the channels of an array that lies channels-last."""
    n, c, h, w = x.strides
    return c == x.itemsize and h == x.shape[3] * w and n == x.shape[2] * h
