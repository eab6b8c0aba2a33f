"""The gradient of a bias."""

import numpy as np

from .jit import jit, prange
from .runs import add, run


@jit
def sum_pixels(gy, y, total):
    """total[k] = the sum over all pixels of gy (N, P, Q, K) or, unless y is None, of those where y is positive.

    A strip of filters is summed by one thread, from the first pixel to the last: the same order, and so the same
    rounding, for any number of threads.  In double precision: a batch has hundreds of thousands of pixels."""
    N, P, Q, K = gy.shape
    width = 32
    for strip in prange((K + width - 1) // width):
        begin, end = strip * width, min((strip + 1) * width, K)
        sums = np.zeros(end - begin)
        for row in range(N * P):
            for q in range(Q):
                at = (row * Q + q) * K + begin
                g, size = run(gy, at, end - begin), end - begin
                if y is None:
                    add(sums, g)
                else:
                    condition = run(y, at, size)
                    for k in range(size):
                        sums[k] += g[k] if condition[k] > 0 else 0
        for k in range(begin, end):
            total[k] = sums[k - begin]
