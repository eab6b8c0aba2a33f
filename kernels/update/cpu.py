"""The update of the parameters on all cores: one pass, in which w and v are read and written once and g read once."""

import numpy as np

from ..jit import jit, prange
from ..layout import flat


def sgd(w, g, v, *, lr, momentum, weight_decay):
    number = w.dtype.type
    _sgd(flat(w), flat(g), flat(v), number(lr), number(momentum), number(weight_decay))


def sum_of_squares(g, total):
    total += _sum_of_squares(flat(g))


@jit
def _sgd(w, g, v, lr, momentum, weight_decay):
    for i in prange(w.size):
        v[i] = momentum * v[i] - lr * (g[i] + weight_decay * w[i])
        w[i] += v[i]


@jit
def _sum_of_squares(g):
    """Runs of a fixed length, summed in double precision, then the sums in order: the same for any number of threads."""
    run = 65536
    sums = np.zeros((g.size + run - 1) // run)
    for i in prange(sums.size):
        total = 0.0
        for j in range(i * run, min((i + 1) * run, g.size)):
            total += np.float64(g[j]) * np.float64(g[j])
        sums[i] = total
    return sums.sum()
