"""The gradient of a bias."""

import numpy as np

from .jit import jit, prange
from .runs import add, add_where, clear, copy, run

_PARTS, _PIXELS = 64, 64  # at most so many parts, and none with fewer pixels


@jit
def sum_pixels(gy, y, total):
    """total[k] = the sum over all pixels of gy (N, P, Q, K) or, unless y is None, of those where y is positive.

    The pixels are cut into parts that do not depend on the number of threads, so neither does the rounding.  A row of
    an image is summed as it comes, the rows and the parts in double precision: a batch has hundreds of thousands of
    pixels."""
    N, P, Q, K = gy.shape
    rows = N * P
    parts = max(1, min(_PARTS, rows, rows * Q // _PIXELS))
    sums = np.zeros((parts, K))
    for part in prange(parts):
        line = np.empty(K, gy.dtype)
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            clear(line)
            for q in range(Q):
                at = (row * Q + q) * K
                g = run(gy, at, K)
                if y is None:
                    add(line, g)
                else:
                    add_where(line, g, run(y, at, K))
            add(run(sums, part * K, K), line)
    for part in range(1, parts):
        add(run(sums, 0, K), run(sums, part * K, K))
    copy(total, run(sums, 0, K))
