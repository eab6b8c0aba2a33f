"""The weight gradient of a 1x1 convolution, or of a linear layer: a product of two matrices that nearly lie there.

gw[k, c] is the sum over all pixels of gy[pixel, k] x[pixel, c].  Channels last, the numbers of a pixel lie side by
side: in step ``pixel`` a panel tile takes some of gy's as its rows and some of x's as its columns, and so makes gw as
it is stored.  But the pixels of a sum are far apart, and memory is slow to give a little of each.  So the pixels are
cut into blocks; a task copies its share of a block, from one end to the other, into its core's second cache, masks it
and leaves out what a stride goes over on the way, and multiplies there.

A linear layer's images are the pixels here.  They are few, its weights many: then the first block is also the last, and
goes to gw straight away, a few rows at a time, from one end to the other.

Each block is summed from zero, and the blocks are added up: shorter sums round better than one long one.  The blocks
follow from the shapes alone, and so does every bit of the result.
"""

import math

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import LINE, channels_last
from ..runs import clear, copy_masked, run, sum_up, where
from ..shapes import planned

_BLOCK = 256  # pixels: so many that to add a sum to the others hardly matters
_CACHE = 448 << 10  # bytes of a block of a task's filters and channels: they stay in a core's second cache
_FEW, _NEAR = 16, 1024  # more pixels than a few are that near, in numbers, lest each be on a page of memory of its own:
# a processor remembers some sixty
_FIRST = 16 << 10  # bytes of x for which all of gy go by: they stay in a first cache
_STORE = 64  # bytes at a time, a whole line, that memory takes more quickly past the caches


def serves(gw, padding):
    return gw.shape[2:] == (1, 1) and padding == (0, 0)


def backward_weight(x, gy, gw, y, stride, groups, scratch):
    xs, gys, ys = channels_last(x), channels_last(gy), None if y is None else channels_last(y)
    best, item, filters = isa.chosen(), x.itemsize, len(gw) // groups
    block, parts, *specs = _plan(math.prod(gys.shape[:3]), gw.shape, groups, x.dtype, numba.get_num_threads())
    gradients, pixels = scratch(*specs)
    # What no cache would hold until it is used goes to memory straight away (TILE.md has the times).
    streams = best.bytes >= _STORE and block >= math.prod(gys.shape[:3]) and tile.may_stream(gw, gw.shape[1])
    _sum_blocks(xs, gys, ys, gw, gradients, pixels, stride, groups, parts, block, tile.height(filters),
                best.lanes(item), tile.address("panel", item), tile.address("panel", item, streams=streams))


@planned
def _plan(pixels, gw_shape, groups, dtype, threads):
    """(pixels of a block, into how many parts (filters, channels) of a group are cut, the (shape, dtype) of each
    thread's share of a block of gy and of x)."""
    best, item, filters, C = isa.chosen(), dtype.itemsize, gw_shape[0] // groups, gw_shape[1]
    tall, wide = tile.height(filters), best.columns(item)
    down, across = -(-filters // tall), -(-C // wide)  # tiles

    def shares(parts):
        """(filters, channels) of the largest task."""
        return -(-down // parts[0]) * tall, -(-across // parts[1]) * wide

    def cycles(parts):
        """For a pixel: two multiplications and half a copy at a time."""
        rows, columns = shares(parts)
        return -(-groups * parts[0] * parts[1] // threads) * (rows * columns / 2 + (rows + columns) * 2)

    block = -(-pixels // -(-pixels // _BLOCK))
    most = _CACHE // (block * item)  # filters and channels of a task
    if block > _FEW:
        most = min(most, _NEAR)
    least = -(-filters * 7 // (most * 3)), -(-C * 7 // (most * 4))
    parts = min(((least[0] + i, least[1] + j) for i in range(threads) for j in range(threads)), key=cycles)
    return block, parts, *(((threads, block * (share + 2 * LINE)), dtype) for share in shares(parts))


@jit
def _sum_blocks(x, gy, y, gw, gradients, pixels, stride, groups, parts, block, tall, lanes, panel_tile,
                first_tile):
    """gw[k, c] = the sum over pixels of gy[pixel, k], where y, unless it is None, is positive, times x[pixel, c]."""
    (K, C, _, _), wide, count = gw.shape, 2 * lanes, len(gy) * gy.shape[1] * gy.shape[2]
    filters = K // groups
    down, across = (filters + tall - 1) // tall, (C + wide - 1) // wide
    for task in prange(groups * parts[0] * parts[1]):
        group, row, column = task // (parts[0] * parts[1]), task // parts[1] % parts[0], task % parts[1]
        k0, k1 = down * row // parts[0] * tall, min(down * (row + 1) // parts[0] * tall, filters)
        c0, c1 = across * column // parts[1] * wide, min(across * (column + 1) // parts[1] * wide, C)
        slot = numba.get_thread_id()
        for first in range(0, count if k0 < k1 and c0 < c1 else 0, block):
            some = min(block, count - first)
            a, a_step = _collect(gradients, slot, gy, y, first, some, (1, 1), gy.shape[1], gy.shape[2],
                                 group * filters + k0, k1 - k0)
            b, b_step = _collect(pixels, slot, x, None, first, some, stride, gy.shape[1], gy.shape[2], group * C + c0,
                                 c1 - c0)
            _multiply(gradients, a, a_step, pixels, b, b_step, some, gw, group * filters + k0, k1 - k0, c0, c1 - c0,
                      first == 0, tall, lanes, panel_tile, first_tile)


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
    return at, step


@inline
def _multiply(a, a_at, a_step, b, b_at, b_step, depth, gw, k0, filters, c0, channels, fresh, tall, lanes, panel_tile,
              first_tile):
    """gw[k0 + k, c0 + c] = (unless fresh, itself +) the sum over ``depth`` steps of a[k] b[c]."""
    wide, C = 2 * lanes, gw.shape[1]
    zero, nothing, part = np.zeros(1, np.int64), np.zeros(wide, a.dtype), np.empty(tall * wide, a.dtype)
    most = max(1, _FIRST // (depth * wide * a.itemsize)) * wide
    for strip in range(0, channels, most):
        for k in range(0, filters, tall):
            height = min(tall, filters - k)
            for c in range(strip, min(strip + most, channels), wide):
                valid, at = min(wide, channels - c), (k0 + k) * C + c0 + c
                width = wide if valid > lanes else lanes
                straight = fresh and valid == width
                y, y_step = (where(gw, at), C) if straight else (where(part, 0), width)
                tile.call(first_tile if straight else panel_tile,
                          (height, width // lanes, where(a, a_at + k), where(zero, 0), a_step, where(b, b_at + c),
                           where(zero, 0), b_step, 1, depth, where(nothing, 0), 0, y, y_step))
                for r in range(0 if straight else height):
                    sum_up(run(gw, at + r * C, valid), run(part, r * width, valid), fresh)
