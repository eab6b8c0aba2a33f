"""Arithmetic element by element.

The sum of two gradients is the one of these that a training step runs on large arrays: it has a loop on all cores.  The
others are NumPy's own vectorised loops, which broadcast, and take any layout.
"""

import numpy as np

from ..jit import jit, prange
from ..layout import flat, same_order


def copy(x, y):
    np.copyto(y, x, casting="unsafe")  # as assignment does: a conversion to integers cuts off the fraction


def fill(y, *, value):
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
