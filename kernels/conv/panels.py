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
from .tiling import Tiles, multiply, room, rooms, sort, transform_back, transform_pixels, transform_weights
from .transforms import CHUNK, PLACE, ROWS, SKEW, grid


def convolve(source, y, weight, bias, result, groups, padding, tiles, relu, backwards, scratch):
    """Arguments as in ``winograd.py``."""
    best, dtype, count = isa.chosen(), source.dtype, len(source) * tiles.count
    channels, threads, wide = source.shape[3] // groups, numba.get_num_threads(), best.columns(dtype.itemsize)
    depth = min(CHUNK, ROWS * CHUNK // wide)  # a multiple of 16, or tasks would write into each other's tiles
    v, u, some, space = scratch(((groups * -(-channels // depth), tiles.places, count * depth + SKEW), dtype),
                                ((threads, tiles.places, count * wide + SKEW), dtype),
                                ((threads, tiles.places, PLACE), dtype), rooms(threads, dtype))
    order = np.empty(count, np.int64)
    ends = sort(order, 0, tiles)
    _transform(source, y, v, space, order, groups, padding, tuple(tiles), depth)
    _multiply(v, u, some, space, order, ends, weight, bias, result, groups, tuple(tiles), depth, relu, backwards,
              best.rows, best.lanes(dtype.itemsize), tile.address("even", dtype.itemsize))


@jit
def _transform(source, y, v, space, order, groups, padding, tiles, depth):
    """v[group, c // depth, place][t, c % depth] = B' x B, in pieces of ``depth`` channels."""
    tiles = Tiles(*tiles)
    channels, count = source.shape[3] // groups, len(source) * tiles.count
    parts, pieces = (channels + CHUNK - 1) // CHUNK, (channels + depth - 1) // depth
    for task in prange(count * groups * parts):
        row, group, c0 = task // (groups * parts), task // parts % groups, task % parts * CHUNK
        own, places = grid(source.shape[2] * source.shape[3], source.shape[3]), grid(tiles.n * v.shape[2], v.shape[2])
        patch = room(space)
        for c in range(c0, min(c0 + CHUNK, channels), depth):
            transform_pixels(source, y, own, patch, order[row], tiles, padding, group * channels + c,
                             min(depth, channels - c), v,
                             (group * pieces + c // depth) * tiles.places * v.shape[2] + row * depth, places)


@jit
def _multiply(v, u, some, space, order, ends, weight, bias, result, groups, tiles, depth, relu, backwards, tall, lanes,
              even_tile):
    """result = A' [(G w G') * v] A, in each task for a panel of filters."""
    tiles = Tiles(*tiles)
    columns, channels = result.shape[3] // groups, len(weight) // groups if backwards else weight.shape[1]
    wide, padded = 2 * lanes, (columns + lanes - 1) // lanes * lanes
    panels, pieces = (columns + wide - 1) // wide, (channels + depth - 1) // depth
    for task in prange(groups * panels):
        group, first, target = task // panels, task % panels * wide, numba.get_thread_id() * tiles.places * u.shape[2]
        width = min(wide, padded - first)
        for piece in range(pieces):
            begin, here = piece * depth, min(depth, channels - piece * depth)
            made = transform_weights(weight, tiles.n, some, space, group, groups, first, width, begin, here, backwards)
            multiply(v, (group * pieces + piece) * tiles.places * v.shape[2], depth, here, some, made, PLACE, 0, u,
                     target, width, begin == 0, ends, tiles, tall, lanes, True, even_tile)
        patch, places = room(space), grid(tiles.n * u.shape[2], u.shape[2])
        for row in range(order.size):
            transform_back(u, target + row * width, places, patch, order[row], tiles, result, group * columns + first,
                           min(width, columns - first), bias, group * bias.shape[1] + first, relu)
