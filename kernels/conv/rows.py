"""Rows of pixels times panels of weights: the product under the forward pass and the input gradient.

A *row* of the product is one output pixel.  What it needs of the source image, its window, is a few runs of memory:
``depth`` numbers at each of the distances ``tap`` from the row's own place.  So neither the windows nor anything else
is copied together; a gather tile finds them by its table of rows.  The weights come packed as *panels* of 2 V filters
(the last one of V, if that is enough), in the order in which the tile reads them.

The threads share out tasks: a block of rows times some panels.  Each number of the result is a sum in a fixed order,
and belongs to one task, so neither the tasks nor the threads change a bit of it.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..runs import copy, run, where
from ..shapes import planned

_LEAST, _MOST = 160 << 10, 700 << 10  # bytes of images that a task goes over: they stay in the second cache
_REUSE = 6  # bytes of images for each byte of a panel, so that it is not fetched for a few tiles only
_TOGETHER = 192 << 10  # bytes of panels that a row of tiles takes: they share the second cache with the images
_MANY = 16  # tasks for a thread: if one gets one more than another, it does not matter any more


class Grid(NamedTuple):
    """Where the rows (n, p, q) of a product are in an array: image*n + down*p + right*q + first, in elements."""

    image: int
    down: int
    right: int
    first: int


class Walk(NamedTuple):
    """How a product goes through its arrays."""

    rows: tuple[int, int, int]  # (N, P, Q): one row for each pixel of the result
    source_grid: Grid
    result_grid: Grid
    channels: tuple[int, int]  # channels of a group, in the source and in the result
    groups: int
    depth: int  # numbers of a run of the window


def product(source, weights, bias, result, walk, tap, seen, relu, streams):
    """result[row, c] = bias[c] + sum over t, k of source[row + tap[t] + k] * weights[t*depth + k, c], for all groups.

    source, result: dense arrays, read and written at the places of ``walk``.
    seen: of each output line p, the taps, from and up to, that see more than zeros; both fall as p rises.
    weights: (groups, taps*depth, columns rounded up), panel after panel.
    bias: (groups, columns rounded up).
    relu: negative results become 0.  streams: results may go past the caches (``tile.may_stream``)."""
    best, item = isa.chosen(), source.itemsize
    kind, tall, blocks, together = _cut(walk, len(tap), source.nbytes + result.nbytes, item, numba.get_num_threads())
    # An even tile waits longer for the memory to take what it streams than for the lines that it asked for in time.
    streams = streams and kind == "gather"
    # The fields of the walk one by one, for a parallel loop of Numba's takes no tuple of tuples.
    _product(source.reshape(-1), weights.reshape(-1), bias.reshape(-1), result.reshape(-1), *walk, tap, seen, relu,
             kind == "even", blocks, together, tall, best.lanes(item), tile.address(kind, item, streams=streams))


@planned
def _cut(walk, taps, nbytes, item, threads):
    """(kind of tile, its rows, blocks into which the rows of the product are cut, panels of a task).

    Rows that are equally far apart, across lines and images, and of one run each are what an even tile takes."""
    best, tall, (_, P, Q) = isa.chosen(), tile.rows_apart(walk.source_grid.right, item), walk.rows
    even = taps == 1 and all(grid.down == Q * grid.right and grid.image == P * grid.down
                             for grid in (walk.source_grid, walk.result_grid))
    panel, panels = taps * walk.depth * best.columns(item) * item, -(-walk.channels[1] // best.columns(item))
    parts = -(-panels // max(1, _TOGETHER // panel))
    together = -(-panels // parts)  # equally many in each
    tiles = -(-math.prod(walk.rows) // tall)
    blocks = min(tiles, -(-nbytes // (walk.groups * min(max(_LEAST, _REUSE * panel), _MOST))))
    # A thread gets all of a block whose parts are not equally wide; of a single block they are all there is to share.
    alike = blocks == 1 or walk.channels[1] % (together * best.columns(item)) == 0
    while blocks < tiles and uneven(blocks * walk.groups * (parts if alike else 1), threads):
        blocks += 1
    return "even" if even else "gather", tall, blocks, together


def uneven(tasks, threads):
    """Whether some threads get a task more than others, of so few that it matters."""
    return tasks < _MANY * threads and tasks % threads != 0


@inline
def _place(n, p, q, grid):
    return n * grid.image + p * grid.down + q * grid.right + grid.first


@inline
def _find(places, targets, height, n, p, q, rows, source_grid, result_grid):
    """Where so many rows from (n, p, q) on are in the source and in the result.  Returns the (n, p) of the last one,
    and the (n, p, q) behind it."""
    place, target, last, line = _place(n, p, q, source_grid), _place(n, p, q, result_grid), n, p
    for r in range(height):
        places[r], targets[r], last, line = place, target, n, p
        q, place, target = q + 1, place + source_grid.right, target + result_grid.right
        if q == rows[2]:
            p, q = p + 1, 0
            if p == rows[1]:
                n, p = n + 1, 0
            place, target = _place(n, p, q, source_grid), _place(n, p, q, result_grid)
    return last, line, n, p, q


@jit
def _product(source, weights, bias, result, rows, source_grid, result_grid, channels, groups, depth, tap, seen, relu,
             even, blocks, together, tall, lanes, address):
    """``together``: how many panels a task takes."""
    count, length, columns = rows[0] * rows[1] * rows[2], tap.size * depth, channels[1]
    wide, all_tiles = 2 * lanes, (count + tall - 1) // tall
    panels = (columns + wide - 1) // wide
    padded, parts = (columns + lanes - 1) // lanes * lanes, (panels + together - 1) // together
    fitting = columns if columns == padded else columns // wide * wide  # in panels without a column too many
    for task in prange(groups * blocks * parts):
        group, block, part = task // (blocks * parts), task // parts % blocks, task % parts
        first, last = all_tiles * block // blocks * tall, min(count, all_tiles * (block + 1) // blocks * tall)
        panels_at = group * padded * length  # where the group's are
        places, targets, zeros = np.empty(tall, np.int64), np.arange(tall) * result_grid.right, np.zeros(tall, np.int64)
        spare, spare_rows = np.empty(tall * wide, source.dtype), np.arange(tall) * wide
        n, p, q = first // (rows[1] * rows[2]), first // rows[2] % rows[1], first % rows[2]
        tiles = (last - first + tall - 1) // tall
        low, higher = (last - first) // tiles, (last - first) % tiles  # rows of a tile, and how many have one more
        end = first
        for t in range(tiles):
            begin, end = end, end + low + (t < higher)
            start, goal, low_tap, high_tap = group * channels[0], group * channels[1], 0, tap.size
            if even:
                start += source_grid.first + begin * source_grid.right
                goal += result_grid.first + begin * result_grid.right
            else:
                image, line = n, p
                last_image, last_line, n, p, q = _find(places, targets, end - begin, n, p, q, rows, source_grid,
                                                       result_grid)
                if image == last_image:
                    low_tap, high_tap = seen[last_line, 0], seen[line, 1]
            column, stop = part * together * wide, min((part + 1) * together * wide, columns)
            while column < stop:
                fits = column < fitting
                vectors = ((min(stop, fitting) if fits else padded) - column) // lanes
                init, b = where(bias, group * padded + column), where(weights, panels_at + column * length)
                to, to_rows, step = where(result, goal + column), where(targets, 0), result_grid.right
                if not fits:  # then the last vector would reach into the next pixel
                    to, to_rows, step = where(spare, 0), where(spare_rows, 0), wide
                if even:
                    tile.call(address, (end - begin, vectors, where(source, start), source_grid.right, depth, b,
                                        wide * length, init, 0, to, step, relu))
                else:
                    tile.call(address, (end - begin, vectors, where(source, start), where(places, 0), where(tap, 0),
                                        low_tap, high_tap, depth, b, wide * length, init, where(zeros, 0), to, to_rows,
                                        relu))
                if not fits:
                    valid = columns - column
                    for r in range(end - begin):
                        copy(run(result, goal + column + targets[r], valid), run(spare, r * wide, valid))
                column += vectors * lanes
