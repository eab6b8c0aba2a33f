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
from ..runs import add, clear, clip, copy, copy_where, run, where
from ..scratch import deal, prepared
from .transforms import CHUNK, a_both, a_transposed_both, b_both, g_both, g_transposed_both

_CACHE = 700 << 10  # bytes of a core's second cache for the transformed tiles of a block, if the weights fit beside
_MANY = 6  # register tiles high is a block whose weights (or sums) do not fit: so often is one used once it has come
_FEW = 4  # and a block of the weight gradient, which reads and writes its sums
_ROWS = 16  # of weights or sums that a task transforms
_SKEW = 80  # numbers between the 36 places, lest the 36 runs of a tile all fall into the same few sets of a cache
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
    _convolve(channels_last(x), None, weight, bias, channels_last(y), padding, groups, relu, False, kept,
              deal(scratch, *forward_plan(x, weight, y, groups)))


def forward_plan(x, weight, y, groups):
    K, C, R, _ = weight.shape
    return _plan(x.shape[0], y.shape[2:], C, K // groups, R, groups, x.dtype)


def backward_input(gy, weight, gx, y, padding, groups, scratch):
    R = weight.shape[2]
    _convolve(channels_last(gy), None if y is None else channels_last(y), weight, None, channels_last(gx),
              (R - 1 - padding[0], R - 1 - padding[1]), groups, False, True, None,
              deal(scratch, *backward_plan(gy, weight, gx, groups)))


def backward_plan(gy, weight, gx, groups):
    K, C, R, _ = weight.shape
    return _plan(gy.shape[0], gx.shape[2:], K // groups, C, R, groups, gy.dtype)


def _plan(N, size, channels, columns, taps, groups, dtype):
    """The (shape, dtype) of transformed weights, and each thread's source tiles, result tiles, and rows of transformed
    weights."""
    item, tall = np.dtype(dtype).itemsize, isa.chosen().rows
    down, right = _tiles(size, taps)
    columns, tiles = isa.chosen().padded(columns, item), N * down * right
    heights = _MANY
    if 36 * channels * columns * item < 2 * _CACHE:
        heights = min(_MANY, max(1, _CACHE // (36 * (channels + columns) * item * tall)))
    threads = numba.get_num_threads()
    rounds = -(-tiles * groups // (threads * heights * tall))  # that each thread goes through
    block = -(-tiles // max(1, threads * rounds // groups))
    return (((36 * groups, channels, columns), dtype), ((threads, 36, block * channels + _SKEW), dtype),
            ((threads, 36, block * columns + _SKEW), dtype), ((threads, 36, _ROWS * CHUNK), dtype))


def _convolve(source, y, weight, bias, result, padding, groups, relu, backwards, kept, arrays):
    spectrum, v, u, some = arrays
    best, item, taps = isa.chosen(), source.itemsize, weight.shape[2]
    spectrum = prepared(kept, ("winograd", groups), spectrum, lambda panels: _transform_weights(
        weight, panels, some, groups, best.lanes(item), backwards))
    block = (v.shape[2] - _SKEW) // spectrum.shape[1]
    _convolve_blocks(source, y, spectrum, bias, result, v, u, groups, padding, _tiles(result.shape[1:3], taps),
                     pixels(taps), block, relu, best.rows, best.lanes(item), tile.address("gather", item, 2),
                     tile.address("gather", item, 1))


@jit
def _convolve_blocks(source, y, spectrum, bias, result, v, u, groups, padding, tiles, m, block, relu, tall, lanes,
                     wide_tile, narrow_tile):
    per_image, (_, channels, padded) = tiles[0] * tiles[1], spectrum.shape
    count, columns = len(source) * per_image, result.shape[3] // groups
    blocks, wide = (count + block - 1) // block, 2 * lanes
    for task in prange(groups * blocks):
        group, first, slot = task // blocks, task % blocks * block, numba.get_thread_id()
        here = min(block, count - first)
        patch, spare, full = _room(v.dtype)
        for t in range(here):
            n, top, left = _corner(first + t, tiles, m)
            for c0 in range(0, channels, CHUNK):
                size = min(CHUNK, channels - c0)
                _load(source, y, patch, n, top - padding[0], left - padding[1], 6, group * channels + c0, size)
                b_both(patch, full, spare)
                _store(full, v, slot, t * channels + c0, size)
        _multiply(v, spectrum, u, slot, group, groups, here, tall, wide, wide_tile, narrow_tile)
        at = slot * 36 * u.shape[2]
        for t in range(here):
            n, top, left = _corner(first + t, tiles, m)
            for c0 in range(0, columns, CHUNK):
                size = min(CHUNK, columns - c0)
                for place in range(36):
                    copy(run(full, place * CHUNK, size), run(u, at + place * u.shape[2] + t * padded + c0, size))
                a_transposed_both(m, full, patch, spare)
                _put(patch, bias, result, n, top, left, m, group * columns + c0, size, relu)
                clear(patch)


@inline
def _corner(t, tiles, m):
    """The image of a tile, and its first pixel."""
    n, rest = t // (tiles[0] * tiles[1]), t % (tiles[0] * tiles[1])
    return n, rest // tiles[1] * m, rest % tiles[1] * m


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


@inline
def _load(source, y, patch, n, top, left, size, c0, count):
    """patch[(i, j), c] = source[n, top + i, left + j, c0 + c] for size x size pixels; 0 outside the image, and where y
    is not positive."""
    _, H, W, channels = source.shape
    for i in range(size):
        for j in range(size):
            target = run(patch, (6 * i + j) * CHUNK, count)
            h, w = top + i, left + j
            at = ((n * H + h) * W + w) * channels + c0
            if h < 0 or h >= H or w < 0 or w >= W:
                clear(target)
            elif y is None:
                copy(target, run(source, at, count))
            else:
                copy_where(target, run(source, at, count), run(y, at, count))


@inline
def _put(tile, bias, result, n, top, left, m, first, size, relu):
    """The m x m pixels of a tile to their places, plus bias, and with ``relu`` 0 where that is negative."""
    _, P, Q, K = result.shape
    for i in range(min(m, P - top)):
        for j in range(min(m, Q - left)):
            target = run(result, ((n * P + top + i) * Q + left + j) * K + first, size)
            copy(target, run(tile, (6 * i + j) * CHUNK, size))
            if bias is not None:
                add(target, run(bias, first, size))
            if relu:
                clip(target)


def backward_weight(x, gy, gw, y, padding, groups, scratch):
    sums, v, u = deal(scratch, *gradient_plan(x, gy, gw, groups))
    best, item, (_, C, taps, _) = isa.chosen(), x.itemsize, gw.shape
    block = (v.shape[2] - _SKEW) // (C + _LINE)
    slice_ = (u.shape[2] - _SKEW) // block - _LINE
    _sum_blocks(channels_last(x), channels_last(gy), None if y is None else channels_last(y), sums, v, u, groups,
                padding, _tiles(gy.shape[2:], taps), pixels(taps), block, slice_, tile.height(C), best.columns(item),
                tile.address("panel", item, 2), tile.address("panel", item, 1))
    _transform_sums(sums, gw, groups, best.lanes(item))


def gradient_plan(x, gy, gw, groups):
    """The (shape, dtype) of the sums of transformed gradients, and each thread's transformed tiles of x and of gy.

    A thread sums a slice of the filters of a group over all tiles, some tiles at a time; how many depends on the shape
    alone, for it decides how the sum rounds."""
    K, C, taps, _ = gw.shape
    best, item, threads = isa.chosen(), x.itemsize, numba.get_num_threads()
    down, right = _tiles(gy.shape[2:], taps)
    columns, wide = best.padded(K // groups, item), best.columns(item)
    slice_ = -(-columns // (wide * -(-threads // groups))) * wide  # filters of a task
    block = min(best.rows * _FEW, x.shape[0] * down * right)
    return (((36 * groups, C, columns), x.dtype), ((threads, 36, block * (C + _LINE) + _SKEW), x.dtype),
            ((threads, 36, block * (slice_ + _LINE) + _SKEW), x.dtype))


@jit
def _sum_blocks(x, gy, y, sums, v, u, groups, padding, tiles, m, block, slice_, tall, wide, wide_tile, narrow_tile):
    """sums[place, group, c, k] = the sum over all tiles of (B' x B)[place, c] (A gy A')[place, k]."""
    _, channels, padded = sums.shape
    count, columns = len(x) * tiles[0] * tiles[1], gy.shape[3] // groups
    slices = (padded + slice_ - 1) // slice_
    for task in prange(groups * slices):
        group, k0, slot = task // slices, task % slices * slice_, numba.get_thread_id()
        patch, spare, full = _room(v.dtype)
        for first in range(0, count, block):
            here = min(block, count - first)
            for t in range(here):
                n, top, left = _corner(first + t, tiles, m)
                for c in range(0, channels, CHUNK):
                    size = min(CHUNK, channels - c)
                    _load(x, None, patch, n, top - padding[0], left - padding[1], 6, group * channels + c, size)
                    b_both(patch, full, spare)
                    _store(full, v, slot, t * (channels + _LINE) + c, size)
                for k in range(k0, min(k0 + slice_, columns), CHUNK):
                    size = min(CHUNK, min(k0 + slice_, columns) - k)
                    _load(gy, y, patch, n, top, left, m, group * columns + k, size)
                    a_both(m, patch, full, spare)
                    _store(full, u, slot, t * (slice_ + _LINE) + k - k0, size)
            _add_products(v, u, sums, slot, group, groups, k0, slice_, here, first == 0, tall, wide, wide_tile,
                          narrow_tile)


@inline
def _store(full, v, slot, at, size):
    """The 36 runs of a tile to a thread's buffer."""
    for place in range(36):
        copy(run(v, (slot * 36 + place) * v.shape[2] + at, size), run(full, place * CHUNK, size))


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
                target = run(sums, result + (k0 + column) * channels + c * width, height * width)
                new = run(part, 0, height * width)
                if fresh:
                    copy(target, new)
                else:
                    add(target, new)


@jit
def _transform_weights(weight, spectrum, some, groups, lanes, backwards):
    """The panels of G w G': spectrum[place, group, panel][c, k], or with ``backwards`` [k, c] of the taps reversed.

    A thread collects ``some`` rows before it writes them to their 36 places: a processor makes the stores in order, and
    those that miss the caches would hold up the next row's transform."""
    K, C, R, _ = weight.shape
    filters = K // groups
    depth, padded, wide = spectrum.shape[1], spectrum.shape[2], 2 * lanes
    columns, parts, chunks = C if backwards else filters, (depth + _ROWS - 1) // _ROWS, (padded + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks * parts):
        group, first, begin = task // (chunks * parts), task // parts % chunks * CHUNK, task % parts * _ROWS
        size, rows, slot = min(CHUNK, padded - first), min(_ROWS, depth - begin), numba.get_thread_id()
        taps, spare, full = _room(weight.dtype)
        for row in range(rows):
            for i in range(size):
                inside = first + i < columns
                k, c = (begin + row, first + i) if backwards else (first + i, begin + row)
                for r in range(R):
                    for s in range(R):
                        at = (6 * (R - 1 - r) + R - 1 - s if backwards else 6 * r + s) * CHUNK + i
                        taps[at] = weight[group * filters + k, c, r, s] if inside else 0
            g_both(R, taps, full, spare)
            for place in range(36):
                for column in range(0, size, wide):
                    width = min(wide, size - column)
                    at = (slot * 36 + place) * some.shape[2] + column * rows + row * width
                    copy(run(some, at, width), run(full, place * CHUNK + column, width))
        for place in range(36):
            for column in range(0, size, wide):
                width, made = min(wide, size - column), (slot * 36 + place) * some.shape[2] + column * rows
                at = ((place * groups + group) * padded + first + column) * depth + begin * width
                copy(run(spectrum, at, rows * width), run(some, made, rows * width))


@jit
def _transform_sums(sums, gw, groups, lanes):
    """gw[k, c] = G' sums[:, c, k] G."""
    K, C, R, _ = gw.shape
    filters, padded, wide = K // groups, sums.shape[2], 2 * lanes
    parts, chunks = (C + _ROWS - 1) // _ROWS, (padded + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks * parts):
        group, first, begin = task // (chunks * parts), task // parts % chunks * CHUNK, task % parts * _ROWS
        size = min(CHUNK, padded - first)
        taps, spare, full = _room(gw.dtype)
        for c in range(begin, min(begin + _ROWS, C)):
            for place in range(36):
                for column in range(first, first + size, wide):
                    width = min(wide, padded - column)
                    at = ((place * groups + group) * padded + column) * C + c * width
                    copy(run(full, place * CHUNK + column - first, width), run(sums, at, width))
            g_transposed_both(R, full, taps, spare)
            for i in range(min(size, filters - first)):
                for r in range(R):
                    for s in range(R):
                        gw[group * filters + first + i, c, r, s] = taps[(6 * r + s) * CHUNK + i]


@inline
def _room(dtype):
    """Three tiles of a thread: the pixels (or taps), one for a transform's first half, and the transformed tile."""
    return np.zeros(36 * CHUNK, dtype), np.zeros(36 * CHUNK, dtype), np.zeros(36 * CHUNK, dtype)
