"""The weight gradient of a 1x1 convolution of stride 1: the product of two matrices that lie there already.

Channels last, x is a matrix (pixels, C) and gy another (pixels, K).  In step k a panel tile wants some channels of
pixel k side by side, and some filters: so they are where it looks for them, and where there is only one tap to use them
for, the copies that ``gradient.py`` makes would take as long as the product, unless there are many channels.  Only what
a ReLU masks is copied, and what would reach over the end of a row.

The pixels are cut into chunks, so that those of x stay in a core's second cache while all filters are taken.  Each
chunk is summed from zero; the chunks follow from the shapes alone, and so does every bit of the result.
"""

import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..layout import channels_last
from ..runs import clear, copy_masked, run, sum_up, where
from .packing import unpack

_ROW = 1 << 10  # bytes: pixels further apart fall into too few sets of the first cache, and repay the copies
_CACHE = 400 << 10  # bytes of a chunk of x
_LEAST = 256  # pixels of a chunk: so long a sum that adding it to the others does not matter


def serves(x, gy, gw, stride, padding):
    near = max(x.shape[1], gy.shape[1]) * x.itemsize < _ROW
    return near and gw.shape[2:] == stride == (1, 1) and padding == (0, 0)


def backward_weight(x, gy, gw, y, groups, scratch):
    best, item, (K, C, _, _) = isa.chosen(), x.itemsize, gw.shape
    xs, gys = channels_last(x).reshape(-1, x.shape[1]), channels_last(gy).reshape(-1, K)
    ys = None if y is None else channels_last(y).reshape(-1, K)
    pixels, columns = len(gys), best.padded(K // groups, item)
    chunk = min(pixels, max(_LEAST, _CACHE // (xs.shape[1] * item)))
    copied = ys is not None or columns > K // groups
    sums, masked = scratch(((groups, C, columns), x.dtype), ((chunk if copied else 0, groups * columns), x.dtype))
    for first in range(0, pixels, chunk):
        some = slice(first, min(first + chunk, pixels))
        gradient = gys[some]
        if copied:
            gradient = masked[:len(gradient)]
            _copy(gys[some], None if ys is None else ys[some], gradient, groups)
        _accumulate(xs[some], gradient, sums, first == 0, tile.height(C), best.lanes(item),
                    tile.address("panel", item, 2), tile.address("panel", item, 1))
    unpack(sums, gw, groups, best.lanes(item))


@jit
def _copy(gy, y, target, groups):
    """target[pixel, (group, k)] = gy[pixel, (group, k)], where y, unless it is None, is positive; 0 beyond the last k
    of a group."""
    filters, columns = gy.shape[1] // groups, target.shape[1] // groups
    for row in prange(len(gy) * groups):
        copy_masked(run(target, row * columns, filters), gy, y, row * filters)
        clear(run(target, row * columns + filters, columns - filters))


@jit
def _accumulate(x, gy, sums, fresh, tall, lanes, wide_tile, narrow_tile):
    """sums[group][c, k] = (unless fresh, itself +) the sum over pixels of x[pixel, (group, c)] gy[pixel, (group, k)],
    in panels."""
    groups, C, columns = sums.shape
    wide, tiles = 2 * lanes, (C + tall - 1) // tall
    panels = (columns + wide - 1) // wide
    for task in prange(groups * panels * tiles):
        group, column, begin = task // (panels * tiles), task // tiles % panels * wide, task % tiles * tall
        width, height = min(wide, columns - column), min(tall, C - begin)
        zero, nothing, result = np.zeros(1, np.int64), np.zeros(wide, x.dtype), np.empty(tall * wide, x.dtype)
        tile.call(wide_tile if width == wide else narrow_tile,
                  (height, where(x, group * C + begin), where(zero, 0), x.shape[1],
                   where(gy, group * columns + column), where(zero, 0), gy.shape[1], 1, len(x),
                   where(nothing, 0), 0, where(result, 0), width))
        at = (group * columns + column) * C + begin * width
        sum_up(run(sums, at, height * width), run(result, 0, height * width), fresh)
