"""Winograd's convolution: fewer multiplications for 3x3 and 5x5 filters of stride 1.  The matrices: ``transforms.py``.

For each place of a transformed tile there is a product of matrices over (tiles, channels, filters), on the same
register tiles as everything else.  6 x 6 places for 4 x 4 pixels of y and 3 x 3 taps are 4 times fewer multiplications,
8 x 8 for 4 x 4 pixels and 5 x 5 taps 6 times; tiles of two sizes cover an image (``tiling.py``).  The price is rounding
(the README has the bounds) and memory traffic.  So a thread takes a block of tiles through all steps, transform,
products and transform back, in buffers of its own that stay in its cache; and ``choice.py`` says for which shapes it
pays at all.

The input gradient is the same convolution with the taps backwards and channels and filters exchanged.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..layout import LINE
from ..runs import copy, run, where
from ..scratch import prepared
from ..shapes import evenly, planned
from ..transpose import transpose
from . import panels, tiling
from .packing import pack_bias
from .sums import add_product
from .tiling import Tiles
from .transforms import CHUNK, PLACE, ROWS, SKEW, VECTOR, a_both, g_transposed_both, grid

_CACHE = 700 << 10  # bytes of a core's second cache for the transformed tiles of a block, if the weights fit beside
_MANY = 6  # register tiles high is a block whose weights (or sums) do not fit: so often is one used once it has come
_DEEP = 56  # tiles at most in a block of the weight gradient, which reads and writes its sums


def convolve(source, y, weight, bias, result, stride, padding, groups, relu, backwards, kept, scratch):
    """Arguments as in ``direct.py``; the stride is 1."""
    best, item, taps, weight = isa.chosen(), source.itemsize, weight.shape[2], np.ascontiguousarray(weight)
    if backwards:
        padding = taps - 1 - padding[0], taps - 1 - padding[1]
    layer = source.shape, result.shape, taps, groups, source.dtype, numba.get_num_threads()
    tiles = tiling.tiles_of(result.shape[1:3], taps)
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
    """Whether to go panel by panel (``panels.py``), if the weights are not kept: they leave no room for tiles in a
    cache and are, transformed, half as many as the tiles of x and of y; and there is a panel for each thread."""
    best, tiles = isa.chosen(), tiling.tiles_of(result_shape[1:3], taps)
    C, K, item = source_shape[3] // groups, result_shape[3] // groups, dtype.itemsize
    return (_large(tiles, C, best.padded(K, item), item) and 2 * C * K >= source_shape[0] * tiles.count * (C + K)
            and groups * -(-K // best.columns(item)) >= threads)


@planned
def _plan(source_shape, result_shape, taps, groups, dtype, threads):
    """The (shape, dtype) of the transformed weights, and of each thread's source tiles, result tiles, and rows of
    transformed weights."""
    best, item, tiles = isa.chosen(), dtype.itemsize, tiling.tiles_of(result_shape[1:3], taps)
    channels, columns = source_shape[3] // groups, best.padded(result_shape[3] // groups, item)
    count, heights = source_shape[0] * tiles.count, _MANY
    if not _large(tiles, channels, columns, item):
        heights = min(_MANY, max(1, _CACHE // (tiles.places * (channels + columns) * item * best.rows)))
    rounds = -(-count * groups // (threads * heights * best.rows))  # that each thread goes through
    block = -(-count // max(1, threads * rounds // groups))
    return (((tiles.places * groups, channels, columns), dtype),
            ((threads, tiles.places, block * channels + SKEW), dtype),
            ((threads, tiles.places, block * columns + SKEW), dtype), ((threads, tiles.places, PLACE), dtype),
            tiling.rooms(threads, dtype))


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
        order, patch = np.empty(min(block, count - first), np.int64), tiling.room(space)
        ends, own = tiling.sort(order, first, tiles), grid(source.shape[2] * source.shape[3], source.shape[3])
        there, places = slot * tiles.places * v.shape[2], grid(tiles.n * v.shape[2], v.shape[2])
        for row in range(order.size):
            tiling.transform_pixels(source, y, own, patch, order[row], tiles, padding, group * channels, channels, v,
                                    there + row * channels, places)
        back, places = slot * tiles.places * u.shape[2], grid(tiles.n * u.shape[2], u.shape[2])
        tiling.multiply(v, there, channels, channels, spectrum, group * channels * padded, groups * channels * padded,
                        2 * lanes * channels, u, back, padded, True, ends, tiles, tall, lanes, False, gather_tile)
        for row in range(order.size):
            tiling.transform_back(u, back + row * padded, places, patch, order[row], tiles, result, group * columns,
                                  columns, bias, group * bias.shape[1], relu)


def backward_weight(x, gy, gw, y, stride, padding, groups, scratch):
    best, item, (K, C, taps, _) = isa.chosen(), x.itemsize, gw.shape
    tiles = tiling.tiles_of(gy.shape[1:3], taps)
    parts = -(-numba.get_num_threads() // groups)  # of a group's filters, that tasks take
    share = -(-K // (groups * parts * VECTOR)) * VECTOR
    sums, v, u, space = scratch(*_gradient_plan(len(x) * tiles.count, tiles.places, gw.shape, share, x.dtype,
                                                numba.get_num_threads()))
    _sum_blocks(x, gy, y, sums, v, u, space, groups, padding, tuple(tiles), (v.shape[2] - SKEW) // (C + LINE), share,
                tile.height(share), best.lanes(item), tile.address("sum", item))
    _transform_sums(sums, tiles.n, gw, space)


@planned
def _gradient_plan(count, places, gw_shape, share, dtype, threads):
    """The (shape, dtype) of the sums of transformed gradients, and each thread's transformed tiles of x and of gy.

    A thread sums its share of the filters of a group over all tiles, some tiles at a time; how many depends on the
    shape alone, for it decides how the sum rounds."""
    (K, C, _, _), block = gw_shape, evenly(count, _DEEP)
    return (((places, K * C + SKEW), dtype), ((threads, places, block * (C + LINE) + SKEW), dtype),
            ((threads, places, block * (share + LINE) + SKEW), dtype), tiling.rooms(threads, dtype))


@jit
def _sum_blocks(x, gy, y, sums, v, u, space, groups, padding, tiles, block, share, tall, lanes, sum_tile):
    """sums[place][group, k, c] = the sum over all tiles of (A gy A')[place, k] (B' x B)[place, c]."""
    tiles = Tiles(*tiles)
    channels, filters, count = x.shape[3] // groups, gy.shape[3] // groups, len(gy) * tiles.count
    parts = (filters + share - 1) // share
    for task in prange(groups * parts):
        group, k0, slot = task // parts, task % parts * share, numba.get_thread_id()
        k1, patch = min(k0 + share, filters), tiling.room(space)
        x_places = grid(x.shape[2] * x.shape[3], x.shape[3])
        gy_places = grid(gy.shape[2] * gy.shape[3], gy.shape[3])
        v_places, u_places = grid(tiles.n * v.shape[2], v.shape[2]), grid(tiles.n * u.shape[2], u.shape[2])
        v_step, u_step = channels + LINE, share + LINE
        v_at, u_at = slot * tiles.places * v.shape[2], slot * tiles.places * u.shape[2]
        for first in range(0, count, block):
            order = np.empty(min(block, count - first), np.int64)
            ends = tiling.sort(order, first, tiles)
            for row in range(order.size):
                tiling.transform_pixels(x, None, x_places, patch, order[row], tiles, padding, group * channels,
                                        channels, v, v_at + row * v_step, v_places)
                n, top, left, p, q = tiling.corner(order[row], tiles)
                for k in range(k0, k1, CHUNK):
                    size = min(CHUNK, k1 - k)
                    pixels, there = tiling.find(gy, y, gy_places, patch, n, top, left, p, q, group * filters + k, size)
                    a_both(gy.dtype, p, q, p + tiles.more, q + tiles.more, pixels, there,
                           where(u, u_at + row * u_step + k - k0), where(u_places, 0), size, ())
            for place in range(tiles.places):
                low, high = tiling.having(place, ends, tiles)
                add_product(where(u, u_at + place * u.shape[2] + low * u_step), u_step,
                            where(v, v_at + place * v.shape[2] + low * v_step), v_step, high - low, sums,
                            place * sums.shape[1] + (group * filters + k0) * channels, channels, k1 - k0, channels,
                            first == 0, tall, lanes, sum_tile)


@jit
def _transform_weights(weight, n, spectrum, some, space, groups, lanes, backwards):
    """The panels of G w G': spectrum[place, group, panel][c, k], or with ``backwards`` [k, c] of the taps reversed."""
    depth, padded, wide = spectrum.shape[1], spectrum.shape[2], 2 * lanes
    rows, panels = ROWS * CHUNK // wide, (padded + wide - 1) // wide
    parts = (depth + rows - 1) // rows
    for task in prange(groups * panels * parts):
        group, first, begin = task // (panels * parts), task // parts % panels * wide, task % parts * rows
        width, count = min(wide, padded - first), min(rows, depth - begin)
        made = tiling.transform_weights(weight, n, some, space, group, groups, first, width, begin, count, backwards)
        # A processor makes the stores in order, and those that miss the caches would hold up the next transform.
        for place in range(n * n):
            copy(run(spectrum, ((place * groups + group) * padded + first) * depth + begin * width, count * width),
                 run(some, made + place * PLACE, count * width))


@jit
def _transform_sums(sums, n, gw, space):
    """gw[k, c] = G' sums[:, k, c] G."""
    K, C, R, _ = gw.shape
    for k in prange(K):
        taps, tap_places, places = tiling.room(space), grid(R * CHUNK, CHUNK), grid(n * sums.shape[1], sums.shape[1])
        for c in range(0, C, CHUNK):
            size, at = min(CHUNK, C - c), k * C + c
            g_transposed_both(gw.dtype, n, n, R, R, where(sums, at), where(places, 0), where(taps, 0),
                              where(tap_places, 0), size, ())
            transpose(gw, at * R * R, R * R, taps, 0, CHUNK, R * R, size)
