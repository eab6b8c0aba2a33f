"""Winograd's convolution with many filters and few tiles: some filters after the other.

Transformed, 512 x 512 filters of 3x3 are 38 MB.  To write them to memory and read them again takes longer than to
multiply them with a few tiles.  Here nobody ever holds them all: the threads transform all tiles together, and then a
task takes a panel of filters, transforms their weights into a buffer that stays in its core's caches, multiplies, and
transforms back.

Each sum goes through the channels in the same order as in ``winograd.py``, and so has the same bits.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..runs import where
from .tiles import corner, fetch, load, put, room, store, transform_weights
from .transforms import CHUNK, PLACE, ROWS, SKEW, a_transposed_both, b_both


def serves(tiles, channels, columns, groups, dtype, threads):
    """Whether the weights are so many: transformed, half as many as the tiles of x and of y; and a task for each
    thread."""
    return (2 * channels * columns >= tiles * (channels + columns)
            and groups * -(-columns // isa.chosen().columns(dtype.itemsize)) >= threads)


def convolve(source, y, weight, bias, result, groups, padding, tiles, m, relu, backwards, scratch):
    """Arguments as in ``winograd.py``."""
    best, dtype, count = isa.chosen(), source.dtype, len(source) * tiles[0] * tiles[1]
    channels, threads, wide = source.shape[3] // groups, numba.get_num_threads(), best.columns(dtype.itemsize)
    v, w, u, some = scratch(((groups, 36, count * channels + SKEW), dtype),
                            ((threads, 36, channels * wide + SKEW), dtype),
                            ((threads, 36, count * wide + SKEW), dtype), ((threads, 36, PLACE), dtype))
    _transform(source, y, v, groups, padding, tiles, m)
    _multiply(v, w, u, some, weight, bias, result, groups, tiles, m, relu, backwards, best.rows,
              best.lanes(dtype.itemsize), tile.address("even", dtype.itemsize, 2),
              tile.address("even", dtype.itemsize, 1))


@jit
def _transform(source, y, v, groups, padding, tiles, m):
    """v[group, place][t, c] = B' x B."""
    channels, count = source.shape[3] // groups, len(source) * tiles[0] * tiles[1]
    parts = (channels + CHUNK - 1) // CHUNK
    for task in prange(count * groups * parts):
        t, group, c0 = task // (groups * parts), task // parts % groups, task % parts * CHUNK
        size = min(CHUNK, channels - c0)
        patch, spare, full = room(v.dtype)
        n, top, left = corner(t, tiles, m)
        load(source, y, patch, n, top - padding[0], left - padding[1], 6, group * channels + c0, size)
        b_both(patch, full, spare)
        store(full, v, group * 36 * v.shape[2] + t * channels + c0, v.shape[2], size)


@jit
def _multiply(v, w, u, some, weight, bias, result, groups, tiles, m, relu, backwards, tall, lanes, wide_tile,
              narrow_tile):
    """result = A' [(G w G') * v] A, in each task for a panel of filters."""
    count, columns = len(result) * tiles[0] * tiles[1], result.shape[3] // groups
    channels = len(weight) // groups if backwards else weight.shape[1]
    wide, padded = 2 * lanes, (columns + lanes - 1) // lanes * lanes
    panels, rows, heights = (columns + wide - 1) // wide, ROWS * CHUNK // wide, (count + tall - 1) // tall
    for task in prange(groups * panels):
        group, first, slot = task // panels, task % panels * wide, numba.get_thread_id()
        width = min(wide, padded - first)
        valid, address = min(width, columns - first), wide_tile if width == wide else narrow_tile
        for begin in range(0, channels, rows):
            transform_weights(weight, w, slot * w[0].size, w.shape[2], some, group, groups, first, width, begin,
                              min(rows, channels - begin), backwards)
        nothing = np.zeros(wide, v.dtype)
        for place in range(36):
            a, b = (group * 36 + place) * v.shape[2], (slot * 36 + place) * w.shape[2]
            for i in range(heights):  # of nearly equal height
                t, end = count * i // heights, count * (i + 1) // heights
                tile.call(address, (end - t, where(v, a + t * channels), channels, channels, where(w, b), width,
                                    where(nothing, 0), 0, where(u, (slot * 36 + place) * u.shape[2] + t * width), width,
                                    0))
        pixels, spare, full = room(v.dtype)
        for t in range(count):
            fetch(full, u, slot * 36 * u.shape[2] + t * width, u.shape[2], valid)
            a_transposed_both(m, full, pixels, spare)
            n, top, left = corner(t, tiles, m)
            put(pixels, bias, result, n, top, left, m, group * columns + first, valid, relu)
