"""The weight gradient of a 1x1 convolution, or of a linear layer: a product of two matrices that nearly lie there.

gw[k, c] is the sum over all pixels of gy[pixel, k] x[pixel, c].  Channels last, the numbers of a pixel lie side by
side: in step ``pixel`` a panel tile takes some of gy's as its rows and some of x's as its columns, and so makes gw as
it is stored.  But the pixels of a sum are far apart, and memory is slow to give a little of each.  So the pixels are
cut into blocks, whose numbers stay in a core's second cache while the tiles take them, and gy is copied there, masked.

Where gw is small, the pixels are cut into bands as well, whose sums are added up at the end.  A task takes a band of
whole pixels (unless there are more threads than bands) and reads memory from one end to the other.  x is multiplied
where it lies, if no stride goes over some of it and its channels are whole vectors; else it is copied, too.

Where gw is large, a task makes a part of it, some filters times some channels, from all pixels.  It copies its share of
a block of x, too.  A linear layer's images are the pixels here.  They are few, its weights many: then the first block
is also the last, and goes to gw straight away, a few rows at a time, from one end to the other.

Each block is summed from zero, and the blocks and bands are added up: shorter sums round better than one long one.
Both follow from the shapes alone, and so does every bit of the result.
"""

import math

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import LINE
from ..runs import clear, copy_masked, run, where
from ..shapes import evenly, planned
from .sums import add_product

_BLOCK = 256  # pixels: so many that to add a sum to the others hardly matters
_BANDS, _SMALL = 4, 4  # of pixels, if the numbers of x and gy are so many times as many as those of all their sums;
# there are never fewer pixels than bands then
_CACHE = 448 << 10  # bytes of a block of a task's filters and channels: they stay in a core's second cache
_FEW, _NEAR = 16, 1024  # more pixels than a few are that near, in numbers, lest each be on a page of memory of its own:
# a processor remembers some sixty


def backward_weight(x, gy, gw, y, stride, groups, scratch):
    best, item, (K, C, _, _), count = isa.chosen(), x.itemsize, gw.shape, math.prod(gy.shape[:3])
    bands, block, there, parts, *specs = _plan(count, gw.shape, stride, groups, x.dtype, numba.get_num_threads())
    gradients, pixels, sums = scratch(*specs)
    # What no cache would hold until it is used goes to memory straight away (TILE.md has the times).
    streams = best.fills_lines and block >= count and tile.may_stream(gw, C)
    _sum_blocks(x, gy, y, sums if bands > 1 else gw[None, :, :, 0, 0], gradients, pixels, stride, groups, parts,
                block, there, tile.height(K // groups), best.lanes(item), tile.address("sum", item),
                tile.address("sum", item, streams=streams))
    if bands > 1:
        np.add.reduce(sums, axis=0, out=gw[:, :, 0, 0])


@planned
def _plan(pixels, gw_shape, stride, groups, dtype, threads):
    """(bands, pixels of a block, whether those of x are multiplied where they are, into how many parts (filters,
    channels) of a group are cut, the (shape, dtype) of each thread's share of a block of gy and of x, and of the bands'
    sums)."""
    best, item, (K, C, _, _) = isa.chosen(), dtype.itemsize, gw_shape
    filters = K // groups
    tall, wide = tile.height(filters), best.columns(item)
    down, across = -(-filters // tall), -(-C // wide)  # tiles

    def shares(parts):
        """(filters, channels) of the largest task."""
        return -(-down // parts[0]) * tall, -(-across // parts[1]) * wide

    fit = _CACHE // ((filters + C) * item)  # pixels with all their numbers
    if fit >= _BLOCK // 2 and pixels * (K + groups * C) >= _SMALL * _BANDS * K * C:
        bands, least = _BANDS, (1, 1)
        block = evenly(-(-pixels // bands), min(_BLOCK, fit))
    else:
        bands, block = 1, evenly(pixels, _BLOCK)
        most = _CACHE // (block * item)  # filters and channels of a task
        if block > _FEW:
            most = min(most, _NEAR)
        least = -(-filters * 7 // (most * 3)), -(-C * 7 // (most * 4))

    def cycles(parts):
        """For a pixel: two multiplications and half a copy at a time."""
        rows, columns = shares(parts)
        return -(-bands * groups * parts[0] * parts[1] // threads) * (rows * columns / 2 + (rows + columns) * 2)

    parts = min(((least[0] + i, least[1] + j) for i in range(threads) for j in range(threads)), key=cycles)
    there = bands > 1 and stride == (1, 1) and C % best.lanes(item) == 0
    gradients, copied = (((threads, block * (share + 2 * LINE)), dtype) for share in shares(parts))
    return (bands, block, there, parts, gradients, ((0, 1), dtype) if there else copied,
            ((bands if bands > 1 else 0, K, C), dtype))


@jit
def _sum_blocks(x, gy, y, sums, gradients, pixels, stride, groups, parts, block, there, tall, lanes, sum_tile,
                first_tile):
    """sums[band, k, c] = the sum over the band's pixels of gy[pixel, k], where y, unless it is None, is positive, times
    x[pixel, c].  ``there``: whether the pixels of x are multiplied where they are."""
    (bands, K, C), wide, count = sums.shape, 2 * lanes, len(gy) * gy.shape[1] * gy.shape[2]
    filters, tasks = K // groups, groups * parts[0] * parts[1]
    down, across = (filters + tall - 1) // tall, (C + wide - 1) // wide
    for task in prange(bands * tasks):
        band, group = task // tasks, task % tasks // (parts[0] * parts[1])
        row, column = task // parts[1] % parts[0], task % parts[1]
        k0, k1 = down * row // parts[0] * tall, min(down * (row + 1) // parts[0] * tall, filters)
        c0, c1 = across * column // parts[1] * wide, min(across * (column + 1) // parts[1] * wide, C)
        slot, begin, end = numba.get_thread_id(), count * band // bands, count * (band + 1) // bands
        for first in range(begin, end if k0 < k1 and c0 < c1 else begin, block):
            some, channel = min(block, end - first), group * C + c0
            a, a_step = _collect(gradients, slot, gy, y, first, some, (1, 1), gy.shape[1], gy.shape[2],
                                 group * filters + k0, k1 - k0)
            if there:
                b, b_step = where(x, first * x.shape[3] + channel), x.shape[3]
            else:
                b, b_step = _collect(pixels, slot, x, None, first, some, stride, gy.shape[1], gy.shape[2], channel,
                                     c1 - c0)
            add_product(a, a_step, b, b_step, some, sums, (band * K + group * filters + k0) * C + c0, C, k1 - k0,
                        c1 - c0, first == begin, tall, lanes, first_tile if first == begin else sum_tile)


@inline
def _collect(target, slot, source, y, first, count, stride, P, Q, begin, size):
    """Of ``count`` pixels of (P, Q), from the first on, ``size`` numbers from ``begin`` on: where they are in the
    target, and how far apart.  Zeros up to the end of a line."""
    _, H, W, channels = source.shape
    step = (size + LINE - 1) // LINE * LINE + LINE
    at = slot * target.shape[1]
    n, p, q = first // (P * Q), first // Q % P, first % Q
    for t in range(count):
        copy_masked(run(target, at + t * step, size), source, y,
                    ((n * H + p * stride[0]) * W + q * stride[1]) * channels + begin)
        clear(run(target, at + t * step + size, step - size))
        q += 1
        if q == Q:
            p, q = p + 1, 0
            if p == P:
                n, p = n + 1, 0
    return where(target, at), step
