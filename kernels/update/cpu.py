"""The update of the parameters on all cores: one pass, in which w and v are read and written once and g read once."""

import numpy as np

from ..jit import jit, prange, summing
from ..layout import flat, same_order


def sgd(w, g, v, *, lr, momentum, weight_decay):
    number = w.dtype.type
    lr, momentum, weight_decay = number(lr), number(momentum), number(weight_decay)
    if same_order(w, g, v):
        _sgd(flat(w), flat(g), flat(v), lr, momentum, weight_decay)
    else:  # a tensor that is no Parameter may lie channels-last
        v[...] = momentum * v - lr * (g + weight_decay * w)
        w += v


def sum_of_squares(g, total):
    total[()] = _sum_of_squares(flat(g))


@jit
def _sgd(w, g, v, lr, momentum, weight_decay):
    for i in prange(w.size):
        v[i] = momentum * v[i] - lr * (g[i] + weight_decay * w[i])
        w[i] += v[i]


@jit
def _sum_of_squares(g):
    """Runs of a fixed length, then their sums in order: the same for any number of threads."""
    run = 65536
    sums = np.zeros((g.size + run - 1) // run)
    for i in prange(sums.size):
        sums[i] = _sum_of_a_run(g[i * run:min((i + 1) * run, g.size)])
    return sums.sum()


@summing
def _sum_of_a_run(g):
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * np.float64(g[i])
    return total
