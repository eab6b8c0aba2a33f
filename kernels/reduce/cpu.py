"""Sums and maxima along axes, by NumPy's own vectorised loops (one thread: a fixed order)."""

import numpy as np


def sum(x, y, *, axes):
    np.sum(x, axis=axes, keepdims=True, out=y, dtype=np.float64)  # across rows NumPy adds one after the other


def max(x, y, *, axes):
    np.max(x, axis=axes, keepdims=True, out=y)


def max_backward(x, y, gy, gx, *, axes, scratch):
    chosen, is_nan, count = scratch((x.shape, np.bool_), (x.shape, np.bool_), (y.shape, x.dtype))
    np.equal(x, y, out=chosen)
    np.not_equal(x, x, out=is_nan)
    np.logical_or(chosen, is_nan, out=chosen)
    np.copyto(gx, chosen)
    np.sum(gx, axis=axes, keepdims=True, out=count)
    np.divide(gx, count, out=gx)
    np.multiply(gx, gy, out=gx)
