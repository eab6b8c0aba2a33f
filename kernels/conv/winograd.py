"""Winograd's convolution: fewer multiplications for 3x3 and 5x5 filters of stride 1.  The matrices: ``transforms.py``.

For each of the 36 places of a transformed tile there is a product of matrices over (tiles, channels, filters), on the
same register tiles as everything else: 36/16 multiplications for a pixel of y and a weight's 9 (36/4 for its 25) make
4 and 2.8 times fewer, less what the tiles reach past the edge.  The price is rounding (the README has the bounds) and
memory traffic.  So a thread takes a block of tiles through all steps, transform, products and transform back, in
buffers of its own that stay in its cache; and ``choice.py`` says for which shapes it pays at all.

The input gradient is the same convolution with the taps backwards and channels and filters exchanged.
"""


import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import channels_last
from ..runs import clear, run, sum_up, where
from ..scratch import prepared
from ..shapes import planned
from . import panels
from .tiles import corner, fetch, load, put, room, store, transform_sums, transform_weights
from .transforms import CHUNK, PLACE, ROWS, SKEW, a_both, a_transposed_both, b_both

_CACHE = 700 << 10  # bytes of a core's second cache for the transformed tiles of a block, if the weights fit beside
_MANY = 6  # register tiles high is a block whose weights (or sums) do not fit: so often is one used once it has come
_FEW = 4  # and a block of the weight gradient, which reads and writes its sums
_LINE = 16  # numbers that pad a row of transformed tiles, lest its columns fall into few sets of a cache


def pixels(taps):
    """m: the pixels that a tile makes, in each direction."""
    return 7 - taps


def _tiles(size, taps):
    """Tiles down and right that cover ``size`` pixels of the result."""
    m = pixels(taps)
    return -(-size[0] // m), -(-size[1] // m)


def forward(x, weight, bias, y, padding, groups, relu, kept, scratch):
    bias = None if bias is None else np.ascontiguousarray(bias)
    _convolve(channels_last(x), None, weight, bias, channels_last(y), padding, groups, relu, False, kept, scratch)


def backward_input(gy, weight, gx, y, padding, groups, scratch):
    R = weight.shape[2]
    _convolve(channels_last(gy), None if y is None else channels_last(y), weight, None, channels_last(gx),
              (R - 1 - padding[0], R - 1 - padding[1]), groups, False, True, None, scratch)


def _convolve(source, y, weight, bias, result, padding, groups, relu, backwards, kept, scratch):
    best, item, taps, weight = isa.chosen(), source.itemsize, weight.shape[2], np.ascontiguousarray(weight)
    layer = source.shape, result.shape, taps, groups, source.dtype, numba.get_num_threads()
    rest = groups, padding, _tiles(result.shape[1:3], taps), pixels(taps), relu
    if kept is None and _by_panels(*layer):
        panels.convolve(source, y, weight, bias, result, *rest, backwards, scratch)
        return
    spectrum, v, u, some = scratch(*_plan(*layer))
    spectrum = prepared(kept, ("winograd", groups), spectrum, lambda whole: _transform_weights(
        weight, whole, some, groups, best.lanes(item), backwards))
    _convolve_blocks(source, y, spectrum, bias, result, v, u, *rest, (v.shape[2] - SKEW) // spectrum.shape[1],
                     best.rows, best.lanes(item), tile.address("gather", item, 2), tile.address("gather", item, 1))


@planned
def _by_panels(source_shape, result_shape, taps, groups, dtype, threads):
    """Whether to go panel by panel (``panels.py``), if the weights are not kept."""
    (N, _, _, C), (down, right), filters = source_shape, _tiles(result_shape[1:3], taps), result_shape[3] // groups
    return (_large(C // groups, isa.chosen().padded(filters, dtype.itemsize), dtype.itemsize)
            and panels.serves(N * down * right, C // groups, filters, groups, dtype, threads))


@planned
def _plan(source_shape, result_shape, taps, groups, dtype, threads):
    """The (shape, dtype) of the transformed weights, and of each thread's source tiles, result tiles, and rows of
    transformed weights."""
    best, item, (down, right) = isa.chosen(), dtype.itemsize, _tiles(result_shape[1:3], taps)
    channels, columns = source_shape[3] // groups, best.padded(result_shape[3] // groups, item)
    count, heights = source_shape[0] * down * right, _MANY
    if not _large(channels, columns, item):
        heights = min(_MANY, max(1, _CACHE // (36 * (channels + columns) * item * best.rows)))
    rounds = -(-count * groups // (threads * heights * best.rows))  # that each thread goes through
    block = -(-count // max(1, threads * rounds // groups))
    return (((36 * groups, channels, columns), dtype), ((threads, 36, block * channels + SKEW), dtype),
            ((threads, 36, block * columns + SKEW), dtype), ((threads, 36, PLACE), dtype))


def _large(channels, columns, item):
    """Whether the transformed weights of a group leave no room for tiles in a core's cache."""
    return 36 * channels * columns * item >= 2 * _CACHE


@jit
def _convolve_blocks(source, y, spectrum, bias, result, v, u, groups, padding, tiles, m, relu, block, tall, lanes,
                     wide_tile, narrow_tile):
    per_image, (_, channels, padded) = tiles[0] * tiles[1], spectrum.shape
    count, columns = len(source) * per_image, result.shape[3] // groups
    blocks, wide = (count + block - 1) // block, 2 * lanes
    for task in prange(groups * blocks):
        group, first, slot = task // blocks, task % blocks * block, numba.get_thread_id()
        here = min(block, count - first)
        patch, spare, full = room(v.dtype)
        for t in range(here):
            n, top, left = corner(first + t, tiles, m)
            for c0 in range(0, channels, CHUNK):
                size = min(CHUNK, channels - c0)
                load(source, y, patch, n, top - padding[0], left - padding[1], 6, group * channels + c0, size)
                b_both(patch, full, spare)
                store(full, v, slot * 36 * v.shape[2] + t * channels + c0, v.shape[2], size)
        _multiply(v, spectrum, u, slot, group, groups, here, tall, wide, wide_tile, narrow_tile)
        at = slot * 36 * u.shape[2]
        for t in range(here):
            n, top, left = corner(first + t, tiles, m)
            for c0 in range(0, columns, CHUNK):
                size = min(CHUNK, columns - c0)
                fetch(full, u, at + t * padded + c0, u.shape[2], size)
                a_transposed_both(m, full, patch, spare)
                put(patch, bias, result, n, top, left, m, group * columns + c0, size, relu)
                clear(patch)


@inline
def _multiply(v, spectrum, u, slot, group, groups, here, tall, wide, wide_tile, narrow_tile):
    """u[place][t, k] = the sum over c of v[place][t, c] spectrum[place, group][c, k], in the buffers of a thread."""
    _, channels, padded = spectrum.shape
    rows, targets = np.arange(tall) * channels, np.arange(tall) * padded
    zero, zeros, nothing = np.zeros(1, np.int64), np.zeros(tall, np.int64), np.zeros(wide, v.dtype)
    heights = (here + tall - 1) // tall
    for place in range(36):
        a, b = (slot * 36 + place) * v.shape[2], (place * groups + group) * channels * padded
        result = (slot * 36 + place) * u.shape[2]
        for i in range(heights):  # of nearly equal height
            t, end = here * i // heights, here * (i + 1) // heights
            for column in range(0, padded, wide):
                width = min(wide, padded - column)
                tile.call(wide_tile if width == wide else narrow_tile,
                          (end - t, where(v, a + t * channels), where(rows, 0), where(zero, 0), 1, channels,
                           where(spectrum, b + column * channels), width, where(nothing, 0), where(zeros, 0),
                           where(u, result + t * padded + column), where(targets, 0), 0))


def backward_weight(x, gy, gw, y, padding, groups, scratch):
    best, item, (_, C, taps, _) = isa.chosen(), x.itemsize, gw.shape
    tiles = _tiles(gy.shape[2:], taps)
    sums, v, u = scratch(*_gradient_plan(len(x) * tiles[0] * tiles[1], gw.shape, groups, x.dtype,
                                         numba.get_num_threads()))
    block = (v.shape[2] - SKEW) // (C + _LINE)
    slice_ = (u.shape[2] - SKEW) // block - _LINE
    _sum_blocks(channels_last(x), channels_last(gy), None if y is None else channels_last(y), sums, v, u, groups,
                padding, tiles, pixels(taps), block, slice_, tile.height(C), best.columns(item),
                tile.address("panel", item, 2), tile.address("panel", item, 1))
    _transform_sums(sums, gw, groups, best.lanes(item))


@planned
def _gradient_plan(tiles, gw_shape, groups, dtype, threads):
    """The (shape, dtype) of the sums of transformed gradients, and each thread's transformed tiles of x and of gy.

    A thread sums a slice of the filters of a group over all tiles, some tiles at a time; how many depends on the shape
    alone, for it decides how the sum rounds."""
    K, C, _, _ = gw_shape
    best, item = isa.chosen(), dtype.itemsize
    columns, wide = best.padded(K // groups, item), best.columns(item)
    slice_ = -(-columns // (wide * -(-threads // groups))) * wide  # filters of a task
    block = min(best.rows * _FEW, tiles)
    return (((36 * groups, C, columns), dtype), ((threads, 36, block * (C + _LINE) + SKEW), dtype),
            ((threads, 36, block * (slice_ + _LINE) + SKEW), dtype))


@jit
def _sum_blocks(x, gy, y, sums, v, u, groups, padding, tiles, m, block, slice_, tall, wide, wide_tile, narrow_tile):
    """sums[place, group, c, k] = the sum over all tiles of (B' x B)[place, c] (A gy A')[place, k]."""
    _, channels, padded = sums.shape
    count, columns = len(x) * tiles[0] * tiles[1], gy.shape[3] // groups
    slices = (padded + slice_ - 1) // slice_
    for task in prange(groups * slices):
        group, k0, slot = task // slices, task % slices * slice_, numba.get_thread_id()
        patch, spare, full = room(v.dtype)
        for first in range(0, count, block):
            here = min(block, count - first)
            for t in range(here):
                n, top, left = corner(first + t, tiles, m)
                for c in range(0, channels, CHUNK):
                    size = min(CHUNK, channels - c)
                    load(x, None, patch, n, top - padding[0], left - padding[1], 6, group * channels + c, size)
                    b_both(patch, full, spare)
                    store(full, v, slot * 36 * v.shape[2] + t * (channels + _LINE) + c, v.shape[2], size)
                for k in range(k0, min(k0 + slice_, columns), CHUNK):
                    size = min(CHUNK, min(k0 + slice_, columns) - k)
                    load(gy, y, patch, n, top, left, m, group * columns + k, size)
                    a_both(m, patch, full, spare)
                    store(full, u, slot * 36 * u.shape[2] + t * (slice_ + _LINE) + k - k0, u.shape[2], size)
            _add_products(v, u, sums, slot, group, groups, k0, slice_, here, first == 0, tall, wide, wide_tile,
                          narrow_tile)


@inline
def _add_products(v, u, sums, slot, group, groups, k0, slice_, here, fresh, tall, wide, wide_tile, narrow_tile):
    """sums[place, group][c, k] = (unless fresh, itself +) the sum over tiles t of v[place][t, c] u[place][t, k - k0].

    Each block is summed from zero: many short sums round better than a long one."""
    _, channels, padded = sums.shape
    zero, nothing, part = np.zeros(1, np.int64), np.zeros(wide, v.dtype), np.empty(tall * wide, v.dtype)
    for place in range(36):
        a, b = (slot * 36 + place) * v.shape[2], (slot * 36 + place) * u.shape[2]
        result = (place * groups + group) * channels * padded
        for column in range(0, min(slice_, padded - k0), wide):
            width = min(wide, padded - k0 - column)
            for c in range(0, channels, tall):
                height = min(tall, channels - c)
                tile.call(wide_tile if width == wide else narrow_tile,
                          (height, where(v, a + c), where(zero, 0), channels + _LINE, where(u, b + column),
                           where(zero, 0), slice_ + _LINE, 1, here, where(nothing, 0), 0, where(part, 0), width))
                sum_up(run(sums, result + (k0 + column) * channels + c * width, height * width),
                       run(part, 0, height * width), fresh)


@jit
def _transform_weights(weight, spectrum, some, groups, lanes, backwards):
    """The panels of G w G': spectrum[place, group, panel][c, k], or with ``backwards`` [k, c] of the taps reversed."""
    depth, padded, wide = spectrum.shape[1], spectrum.shape[2], 2 * lanes
    rows, panels = ROWS * CHUNK // wide, (padded + wide - 1) // wide
    parts = (depth + rows - 1) // rows
    for task in prange(groups * panels * parts):
        group, first, begin = task // (panels * parts), task // parts % panels * wide, task % parts * rows
        transform_weights(weight, spectrum, (group * padded + first) * depth, groups * padded * depth, some, group,
                          groups, first, min(wide, padded - first), begin, min(rows, depth - begin), backwards)


@jit
def _transform_sums(sums, gw, groups, lanes):
    """gw[k, c] = G' sums[:, c, k] G."""
    K, C, _, _ = gw.shape
    padded, wide = sums.shape[2], 2 * lanes
    rows, panels = ROWS * CHUNK // wide, (padded + wide - 1) // wide
    parts = (C + rows - 1) // rows
    for task in prange(groups * panels * parts):
        group, first, begin = task // (panels * parts), task // parts % panels * wide, task % parts * rows
        transform_sums(sums, (group * padded + first) * C, groups * padded * C, gw, group, groups, first,
                       min(wide, padded - first), begin, min(rows, C - begin))
