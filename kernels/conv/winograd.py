"""Winograd's convolution: fewer multiplications for 3x3 and 5x5 filters of stride 1.  The matrices: ``transforms.py``.

For each place of a transformed tile there is a product of matrices over (tiles, channels, filters), on the same
register tiles as everything else.  6 x 6 places for 4 x 4 pixels of y and 3 x 3 taps are 4 times fewer multiplications,
8 x 8 for 4 x 4 pixels and 5 x 5 taps 6 times; tiles of two sizes cover an image (``tiles.py``).  The price is rounding
(the README has the bounds) and memory traffic.  So a thread takes a block of tiles through all steps, transform,
products and transform back, in buffers of its own that stay in its cache; and ``choice.py`` says for which shapes it
pays at all.

The input gradient is the same convolution with the taps backwards and channels and filters exchanged.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import LINE
from ..runs import copy, run, sum_up, where
from ..scratch import prepared
from ..shapes import evenly, planned
from ..transpose import transpose
from . import panels
from .packing import pack_bias
from .tiles import (
    Tiles,
    corner,
    find,
    having,
    multiply,
    room,
    rooms,
    sort,
    tiles_of,
    transform_back,
    transform_pixels,
    transform_weights,
)
from .transforms import CHUNK, PLACE, ROWS, SKEW, a_both, g_transposed_both, grid

_CACHE = 700 << 10  # bytes of a core's second cache for the transformed tiles of a block, if the weights fit beside
_MANY = 6  # register tiles high is a block whose weights (or sums) do not fit: so often is one used once it has come
_DEEP = 56  # tiles at most in a block of the weight gradient, which reads and writes its sums


def convolve(source, y, weight, bias, result, stride, padding, groups, relu, backwards, kept, scratch):
    """Arguments as in ``direct.py``; the stride is 1."""
    best, item, taps, weight = isa.chosen(), source.itemsize, weight.shape[2], np.ascontiguousarray(weight)
    if backwards:
        padding = taps - 1 - padding[0], taps - 1 - padding[1]
    relu = int(relu)
    layer = source.shape, result.shape, taps, groups, source.dtype, numba.get_num_threads()
    tiles = tiles_of(result.shape[1:3], taps)
    offsets, = scratch(((groups, result.shape[3] // groups + SKEW), source.dtype))
    pack_bias(bias, offsets)
    if kept is None and _by_panels(*layer):
        panels.convolve(source, y, weight, offsets, result, groups, padding, tiles, relu, backwards, scratch)
        return
    spectrum, v, u, some, space = scratch(*_plan(*layer))
    spectrum = prepared(kept, ("winograd", groups, tiles.n), spectrum, lambda whole: _transform_weights(
        weight, tiles.n, whole, some, space, groups, best.lanes(item), backwards))
    _convolve_blocks(source, y, spectrum, offsets, result, v, u, space, groups, padding, tuple(tiles), relu,
                     (v.shape[2] - SKEW) // spectrum.shape[1], best.rows, best.lanes(item),
                     tile.address("gather", item))


@planned
def _by_panels(source_shape, result_shape, taps, groups, dtype, threads):
    """Whether to go panel by panel (``panels.py``), if the weights are not kept."""
    (N, _, _, C), tiles, filters = source_shape, tiles_of(result_shape[1:3], taps), result_shape[3] // groups
    return (_large(tiles, C // groups, isa.chosen().padded(filters, dtype.itemsize), dtype.itemsize)
            and panels.serves(N * tiles.count, C // groups, filters, groups, dtype, threads))


@planned
def _plan(source_shape, result_shape, taps, groups, dtype, threads):
    """The (shape, dtype) of the transformed weights, and of each thread's source tiles, result tiles, and rows of
    transformed weights."""
    best, item, tiles = isa.chosen(), dtype.itemsize, tiles_of(result_shape[1:3], taps)
    channels, columns = source_shape[3] // groups, best.padded(result_shape[3] // groups, item)
    count, heights = source_shape[0] * tiles.count, _MANY
    if not _large(tiles, channels, columns, item):
        heights = min(_MANY, max(1, _CACHE // (tiles.places * (channels + columns) * item * best.rows)))
    rounds = -(-count * groups // (threads * heights * best.rows))  # that each thread goes through
    block = -(-count // max(1, threads * rounds // groups))
    return (((tiles.places * groups, channels, columns), dtype),
            ((threads, tiles.places, block * channels + SKEW), dtype),
            ((threads, tiles.places, block * columns + SKEW), dtype), ((threads, tiles.places, PLACE), dtype),
            rooms(threads, dtype))


def _large(tiles, channels, columns, item):
    """Whether the transformed weights of a group leave no room for tiles in a core's cache."""
    return tiles.places * channels * columns * item >= 2 * _CACHE


@jit
def _convolve_blocks(source, y, spectrum, bias, result, v, u, space, groups, padding, tiles, relu, block, tall, lanes,
                     gather_tile):
    tiles, (_, channels, padded) = Tiles(*tiles), spectrum.shape
    count, columns = len(source) * tiles.count, result.shape[3] // groups
    blocks = (count + block - 1) // block
    for task in prange(groups * blocks):
        group, first, slot = task // blocks, task % blocks * block, numba.get_thread_id()
        order, patch = np.empty(min(block, count - first), np.int64), room(space)
        ends, own = sort(order, first, tiles), grid(source.shape[2] * source.shape[3], source.shape[3])
        there, places = slot * tiles.places * v.shape[2], grid(tiles.n * v.shape[2], v.shape[2])
        for row in range(order.size):
            transform_pixels(source, y, own, patch, order[row], tiles, padding, group * channels, channels, v,
                             there + row * channels, places)
        back, places = slot * tiles.places * u.shape[2], grid(tiles.n * u.shape[2], u.shape[2])
        multiply(v, there, channels, channels, spectrum, group * channels * padded, groups * channels * padded,
                 2 * lanes * channels, u, back, padded, True, ends, tiles, tall, lanes, False, gather_tile)
        for row in range(order.size):
            transform_back(u, back + row * padded, places, patch, order[row], tiles, result, group * columns, columns,
                           bias, group * bias.shape[1], relu)


def backward_weight(x, gy, gw, y, stride, padding, groups, scratch):
    best, item, (_, C, taps, _) = isa.chosen(), x.itemsize, gw.shape
    tiles = tiles_of(gy.shape[1:3], taps)
    sums, v, u, space = scratch(*_gradient_plan(len(x) * tiles.count, tiles.places, gw.shape, groups, x.dtype,
                                         numba.get_num_threads()))
    block = (v.shape[2] - SKEW) // (C + LINE)
    slice_ = (u.shape[2] - SKEW) // block - LINE
    _sum_blocks(x, gy, y, sums, v, u, space, groups, padding, tuple(tiles), block, slice_, tile.height(C),
                best.lanes(item), tile.address("panel", item))
    _transform_sums(sums, tiles.n, gw, space, groups, best.lanes(item))


@planned
def _gradient_plan(count, places, gw_shape, groups, dtype, threads):
    """The (shape, dtype) of the sums of transformed gradients, and each thread's transformed tiles of x and of gy.

    A thread sums a slice of the filters of a group over all tiles, some tiles at a time; how many depends on the shape
    alone, for it decides how the sum rounds."""
    K, C, _, _ = gw_shape
    best, item = isa.chosen(), dtype.itemsize
    columns, wide = best.padded(K // groups, item), best.columns(item)
    slice_ = -(-columns // (wide * -(-threads // groups))) * wide  # filters of a task
    block = evenly(count, _DEEP)
    return (((places, groups * C * columns + SKEW), dtype), ((threads, places, block * (C + LINE) + SKEW), dtype),
            ((threads, places, block * (slice_ + LINE) + SKEW), dtype), rooms(threads, dtype))


@jit
def _sum_blocks(x, gy, y, sums, v, u, space, groups, padding, tiles, block, slice_, tall, lanes, panel_tile):
    """sums[place][group, c, k] = the sum over all tiles of (B' x B)[place, c] (A gy A')[place, k]."""
    tiles = Tiles(*tiles)
    channels, columns, count = x.shape[3] // groups, gy.shape[3] // groups, len(gy) * tiles.count
    padded = (columns + lanes - 1) // lanes * lanes
    slices = (padded + slice_ - 1) // slice_
    for task in prange(groups * slices):
        group, k0, slot = task // slices, task % slices * slice_, numba.get_thread_id()
        k1, patch, step = min(k0 + slice_, columns), room(space), slice_ + LINE
        x_places = grid(x.shape[2] * x.shape[3], x.shape[3])
        gy_places = grid(gy.shape[2] * gy.shape[3], gy.shape[3])
        v_places, u_places = grid(tiles.n * v.shape[2], v.shape[2]), grid(tiles.n * u.shape[2], u.shape[2])
        v_at, u_at = slot * tiles.places * v.shape[2], slot * tiles.places * u.shape[2]
        for first in range(0, count, block):
            order = np.empty(min(block, count - first), np.int64)
            ends = sort(order, first, tiles)
            for row in range(order.size):
                transform_pixels(x, None, x_places, patch, order[row], tiles, padding, group * channels, channels, v,
                                 v_at + row * (channels + LINE), v_places)
                n, top, left, p, q = corner(order[row], tiles)
                for k in range(k0, k1, CHUNK):
                    size = min(CHUNK, k1 - k)
                    pixels, there = find(gy, y, gy_places, patch, n, top, left, p, q, group * columns + k, size)
                    a_both(gy.dtype, p, q, p + tiles.more, q + tiles.more, pixels, there,
                           where(u, u_at + row * step + k - k0), where(u_places, 0), size, ())
            _add_products(v, v_at, u, u_at, sums, group * channels * padded, channels, k0, min(slice_, padded - k0),
                          step, ends, tiles, first == 0, tall, lanes, panel_tile)


@inline
def _add_products(v, v_at, u, u_at, sums, begin, channels, k0, columns, step, ends, tiles, fresh, tall, lanes,
                  panel_tile):
    """sums[place][begin...][c, k] = (unless fresh, itself +) the sum over the tiles t that have the place of
    v[place][t, c] u[place][t, k - k0], for so many channels and columns.

    Each block is summed from zero: many short sums round better than a long one."""
    wide = 2 * lanes
    zero, nothing, part = np.zeros(1, np.int64), np.zeros(wide, v.dtype), np.zeros(tall * wide, v.dtype)
    for place in range(tiles.places):
        low, high = having(place, ends, tiles)
        if low == high and not fresh:
            continue  # a product of no tiles is 0
        a = v_at + place * v.shape[2] + low * (channels + LINE)
        b = u_at + place * u.shape[2] + low * step
        result = place * sums.shape[1] + begin
        for column in range(0, columns, wide):
            width = min(wide, columns - column)
            for c in range(0, channels, tall):
                height = min(tall, channels - c)
                target = run(sums, result + (k0 + column) * channels + c * width, height * width)
                tile.call(panel_tile, (height, width // lanes, where(v, a + c), where(zero, 0), channels + LINE,
                                       where(u, b + column), where(zero, 0), step, 1, high - low,
                                       where(nothing, 0), 0, where(part, 0), width))
                sum_up(target, run(part, 0, height * width), fresh)


@jit
def _transform_weights(weight, n, spectrum, some, space, groups, lanes, backwards):
    """The panels of G w G': spectrum[place, group, panel][c, k], or with ``backwards`` [k, c] of the taps reversed."""
    depth, padded, wide = spectrum.shape[1], spectrum.shape[2], 2 * lanes
    rows, panels = ROWS * CHUNK // wide, (padded + wide - 1) // wide
    parts = (depth + rows - 1) // rows
    for task in prange(groups * panels * parts):
        group, first, begin = task // (panels * parts), task // parts % panels * wide, task % parts * rows
        width, count = min(wide, padded - first), min(rows, depth - begin)
        made = transform_weights(weight, n, some, space, group, groups, first, width, begin, count, backwards)
        # A processor makes the stores in order, and those that miss the caches would hold up the next transform.
        for place in range(n * n):
            copy(run(spectrum, ((place * groups + group) * padded + first) * depth + begin * width, count * width),
                 run(some, made + place * PLACE, count * width))


@jit
def _transform_sums(sums, n, gw, space, groups, lanes):
    """gw[k, c] = G' sums[:, c, k] G."""
    K, C, R, _ = gw.shape
    filters, wide, step = K // groups, 2 * lanes, C * R * R
    padded = (filters + lanes - 1) // lanes * lanes
    rows, panels = ROWS * CHUNK // wide, (padded + wide - 1) // wide
    parts = (C + rows - 1) // rows
    for task in prange(groups * panels * parts):
        group, first, begin = task // (panels * parts), task // parts % panels * wide, task % parts * rows
        width, end = min(wide, padded - first), min(begin + rows, C)
        taps, tap_places, places = room(space), grid(R * CHUNK, CHUNK), grid(n * sums.shape[1], sums.shape[1])
        for c in range(begin, end, CHUNK // width):
            here = min(CHUNK // width, end - c)
            g_transposed_both(gw.dtype, n, n, R, R, where(sums, (group * padded + first) * C + c * width),
                              where(places, 0), where(taps, 0), where(tap_places, 0), here * width, ())
            for i in range(here):
                transpose(gw, ((group * filters + first) * C + c + i) * R * R, step, taps, i * width, CHUNK, R * R,
                          min(width, filters - first))
