"""Sums and maxima along axes, by NumPy's own vectorised loops (pairwise summation, one thread: a fixed order)."""

import numpy as np


def sum(x, y, *, axes):
    np.sum(x, axis=axes, keepdims=True, out=y)


def max(x, y, *, axes):
    np.max(x, axis=axes, keepdims=True, out=y)


def max_backward(x, y, gy, gx, *, axes):
    chosen = np.equal(x, y) | np.isnan(x)
    np.multiply(gy, chosen, out=gx)
    np.divide(gx, chosen.sum(axis=axes, keepdims=True), out=gx)
