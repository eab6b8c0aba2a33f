"""Winograd's convolution with many filters and few tiles: some filters after the other.

Transformed, 512 x 512 filters of 3x3 are 38 or 51 MB.  To write them to memory and read them again takes longer than
to multiply them with a few tiles.  Here nobody ever holds them all: the threads transform all tiles together, and then
a task takes a panel of filters, and of those some channels at a time, transforms their weights into a buffer that stays
in its core's second cache, and adds their products to the sums so far; at the end it transforms those back.

Each sum goes through the channels in the same order as in ``winograd.py``, and so has the same bits.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..runs import where
from .tiles import Tiles, corner, find, find_places, kind, put, room, rooms, since, transform_weights
from .transforms import CHUNK, PATCH, PLACE, ROWS, SKEW, a_transposed_both, b_both, empty_places, grid


def serves(tiles, channels, columns, groups, dtype, threads):
    """Whether the weights are so many: transformed, half as many as the tiles of x and of y; and a task for each
    thread."""
    return (2 * channels * columns >= tiles * (channels + columns)
            and groups * -(-columns // isa.chosen().columns(dtype.itemsize)) >= threads)


def convolve(source, y, weight, bias, result, groups, padding, tiles, relu, backwards, scratch):
    """Arguments as in ``winograd.py``."""
    best, dtype, count = isa.chosen(), source.dtype, len(source) * tiles.count
    channels, threads, wide = source.shape[3] // groups, numba.get_num_threads(), best.columns(dtype.itemsize)
    depth = min(CHUNK, ROWS * CHUNK // wide)  # a multiple of 16, or tasks would write into each other's tiles
    v, u, some, space = scratch(((groups * -(-channels // depth), tiles.places, count * depth + SKEW), dtype),
                                ((threads, tiles.places, count * wide + SKEW), dtype),
                                ((threads, tiles.places, PLACE), dtype), rooms(threads, dtype))
    _transform(source, y, v, space, groups, padding, tuple(tiles), depth)
    _multiply(v, u, some, space, weight, bias, result, groups, tuple(tiles), depth, relu, backwards, best.rows,
              best.lanes(dtype.itemsize), tile.address("even", dtype.itemsize))


@jit
def _transform(source, y, v, space, groups, padding, tiles, depth):
    """v[group, c // depth, place][t, c % depth] = B' x B, in pieces of ``depth`` channels."""
    tiles = Tiles(*tiles)
    channels, count = source.shape[3] // groups, len(source) * tiles.count
    parts, pieces = (channels + CHUNK - 1) // CHUNK, (channels + depth - 1) // depth
    for task in prange(count * groups * parts):
        t, group, c0 = task // (groups * parts), task // parts % groups, task % parts * CHUNK
        patch, own, places = room(space), grid(source.shape[2] * source.shape[3], source.shape[3]), empty_places()
        n, top, left, p, q = corner(t, tiles)
        height, width = p + tiles.more, q + tiles.more
        find_places(places, v.shape[2], depth, since(0, t, tiles), tiles)
        for c in range(c0, min(c0 + CHUNK, channels), depth):
            size = min(depth, channels - c)
            pixels, there = find(source, y, own, patch, n, top - padding[0], left - padding[1], height, width,
                                 group * channels + c, size)
            b_both(v.dtype, height, width, pixels, there,
                   where(v, (group * pieces + c // depth) * tiles.places * v.shape[2]), where(places, 0), size)


@jit
def _multiply(v, u, some, space, weight, bias, result, groups, tiles, depth, relu, backwards, tall, lanes,
              even_tile):
    """result = A' [(G w G') * v] A, in each task for a panel of filters."""
    tiles = Tiles(*tiles)
    count, columns = len(result) * tiles.count, result.shape[3] // groups
    channels = len(weight) // groups if backwards else weight.shape[1]
    wide, padded = 2 * lanes, (columns + lanes - 1) // lanes * lanes
    panels, pieces = (columns + wide - 1) // wide, (channels + depth - 1) // depth
    for task in prange(groups * panels):
        group, first, slot = task // panels, task % panels * wide, numba.get_thread_id()
        width = min(wide, padded - first)
        valid = min(width, columns - first)
        nothing, rows, target = np.zeros(wide, v.dtype), since(0, count, tiles), slot * tiles.places * u.shape[2]
        for piece in range(pieces):
            begin, some_channels = piece * depth, min(depth, channels - piece * depth)
            made = transform_weights(weight, tiles.n, some, space, group, groups, first, width, begin, some_channels,
                                     backwards)
            for place in range(tiles.places):
                a = ((group * pieces + piece) * tiles.places + place) * v.shape[2]
                here = rows[kind(place // tiles.n, place % tiles.n, tiles)]
                heights = (here + tall - 1) // tall
                for i in range(heights):  # of nearly equal height
                    t, end = here * i // heights, here * (i + 1) // heights
                    y = where(u, target + place * u.shape[2] + t * width)
                    init, step = (y, width) if begin else (where(nothing, 0), 0)
                    tile.call(even_tile, (end - t, width // lanes, where(v, a + t * depth), depth, some_channels,
                                          where(some, made + place * PLACE), 0, init, step, y, width, 0))
        patch, places = room(space), empty_places()
        for t in range(count):
            n, top, left, p, q = corner(t, tiles)
            find_places(places, u.shape[2], width, since(0, t, tiles), tiles)
            a_transposed_both(u.dtype, p, q, p + tiles.more, q + tiles.more, where(u, target), where(places, 0),
                              where(patch, 0), where(PATCH, 0), valid, where(bias, group * bias.shape[1] + first),
                              relu)
            put(patch, result, n, top, left, p, q, group * columns + first, valid)
