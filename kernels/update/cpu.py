"""The update of the parameters on all cores: one pass, in which w and v are read and written once and g read once."""

import numpy as np

from ..jit import jit, prange
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
    """Runs of a fixed length, summed in double precision, then the sums in order: the same for any number of threads.

    Within a run eight sums go side by side: one alone would wait for each addition before it begins the next."""
    run, lanes = 65536, 8
    sums = np.zeros((g.size + run - 1) // run)
    for i in prange(sums.size):
        part = np.zeros(lanes)
        begin, end = i * run, min((i + 1) * run, g.size)
        whole = begin + (end - begin) // lanes * lanes
        for j in range(begin, whole, lanes):
            for lane in range(lanes):
                part[lane] += np.float64(g[j + lane]) * np.float64(g[j + lane])
        for j in range(whole, end):
            part[j - whole] += np.float64(g[j]) * np.float64(g[j])
        sums[i] = part.sum()
    return sums.sum()
