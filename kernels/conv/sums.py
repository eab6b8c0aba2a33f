"""A gradient as sums of products: each product, of some pixels, tiles or neurons, is summed from zero and then added.

That rounds better than one long sum, and what a product takes stays in the caches meanwhile.
"""

import numpy as np

from .. import tile
from ..jit import inline
from ..runs import run, sum_up, where

_FIRST = 16 << 10  # bytes of b for which all of a go by: they stay in a first cache


@inline
def add_product(a, a_step, b, b_step, depth, sums, at, pitch, rows, columns, fresh, tall, lanes, sum_tile):
    """sums[at + r*pitch + c] = (unless fresh, itself +) the sum over ``depth`` steps of a[r] b[c], for so many r and c,
    from addresses a and b on.  Of b, whole vectors are read."""
    wide, item = 2 * lanes, sums.itemsize
    part = np.empty(tall * wide, sums.dtype)
    most = max(1, _FIRST // max(1, depth * wide * item)) * wide
    for strip in range(0, columns, most):
        for r in range(0, rows, tall):
            height = min(tall, rows - r)
            for c in range(strip, min(strip + most, columns), wide):
                valid, here = min(wide, columns - c), at + r * pitch + c
                width = wide if valid > lanes else lanes
                whole = valid == width
                y, y_step = (where(sums, here), pitch) if whole else (where(part, 0), width)
                tile.call(sum_tile, (height, width // lanes, a + r * item, a_step, b + c * item, b_step, depth, y,
                                     y_step, 1 if fresh or not whole else 0))
                for i in range(0 if whole else height):
                    sum_up(run(sums, here + i * pitch, valid), run(part, i * width, valid), fresh)
