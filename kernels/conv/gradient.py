"""The weight gradient: for each tap of each filter, a sum over all pixels of all images.

gw[(r, s, c), k] is the product of two tall matrices, x seen through a tap (pixels, C) and gy (pixels, K), and its
result is small.  A panel tile holds some channels times a panel of filters in registers while the pixels go by.  For
that the channels of a tile must lie side by side, and one pixel's near the next's: x is copied into panels of as many
channels as the tile is tall, gy into panels as wide as it is, some images at a time, so that a panel of each stays in
a core's cache while all taps are taken.  What they give together is turned to the order of gw while it is in the first
cache.  Few channels make no panel: ``bands.py``.  One tap does not repay panels: ``pointwise.py``.

Each chunk of images is summed from zero, and the chunks are added up: shorter sums round better than one long one.
The chunks follow from the shapes alone, and so does every bit of the result.
"""

import math

import numba
import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..runs import clear, copy, run, sum_up, where
from ..shapes import planned
from ..transpose import transpose
from . import bands, pointwise
from .direct import lattice, needed_size
from .packing import pack_row
from .rows import uneven

_PANELS = 700 << 10  # bytes of a panel of x and one of gy: they share a core's second cache
_CHUNK = 8 << 20  # bytes of all panels of a chunk of images
_FEW = 8  # fewer channels than this make no panel


def backward_weight(x, gy, gw, y, stride, padding, groups, scratch):
    """x, gy and y, which masks gy unless it is None, are (N, H, W, C)."""
    (K, C, R, S), (_, P, Q, _), best, item = gw.shape, gy.shape, isa.chosen(), x.itemsize
    if C < _FEW:
        bands.backward_weight(x, gy, gw, y, stride, padding, groups, scratch)
        return
    if (R, S) == (1, 1) and padding == (0, 0):
        pointwise.backward_weight(x, gy, gw, y, stride, groups, scratch)
        return
    pixels, gradients, room = scratch(*_plan(len(x), gy.shape, gw.shape, x.dtype, stride, groups,
                                             numba.get_num_threads()))
    tiles, height, width, tall = pixels.shape[1:]
    tasks = tiles * -(-(K // groups) // best.columns(item))
    pieces = R if uneven(tasks, numba.get_num_threads()) else 1  # of the taps: as many tasks as make it even
    for begin in range(0, len(x), len(gradients)):
        images = slice(begin, min(begin + len(gradients), len(x)))
        count = images.stop - begin
        panels = gradients[:count]
        source = pixels[:count].reshape(tiles, count, height, width, tall)
        _pack_gradient(gy[images], None if y is None else y[images], panels, groups, best.lanes(item))
        _pack_pixels(x[images], source, groups, *padding)
        _accumulate(source.reshape(-1), panels.reshape(-1), gw, room, tiles // groups, source[0].size,
                    lattice(R, S, width * tall, tall), pieces,
                    lattice(count, P, height * width * tall, stride[0] * width * tall), stride[1] * tall, Q, groups,
                    begin == 0, tall, best.lanes(item), tile.address("panel", item))


@planned
def _plan(images, gy_shape, gw_shape, dtype, stride, groups, threads):
    """The (shape, dtype) of panels of x (images, tiles, height, width, channels) and of gy (images, numbers), both of a
    chunk of images, and of room for each thread's sums, twice."""
    item, (K, C, R, S), (_, P, Q, _) = dtype.itemsize, gw_shape, gy_shape
    columns, tall = isa.chosen().padded(K // groups, item), tile.height(C)
    height, width = needed_size((P, Q), (R, S), stride)
    image, gradient = (groups * -(-C // tall), height, width, tall), groups * columns * P * Q
    two = height * width * tall + min(columns, isa.chosen().columns(item)) * P * Q  # a panel of each
    chunk = max(1, min(images, _PANELS // (item * two), _CHUNK // (item * (math.prod(image) + gradient))))
    room = threads, 2, R * S * tall * isa.chosen().columns(item)
    return ((chunk, *image), dtype), ((chunk, gradient), dtype), (room, dtype)


@jit
def _pack_pixels(source, panels, groups, top, left):
    """panels[tile, n, i, j, r] = source[n, i - top, j - left, first channel of the tile + r], 0 outside the source."""
    N, H, W, channels = source.shape
    parts, _, height, width, tall = panels.shape
    C, tiles = channels // groups, parts // groups
    for row in prange(N * height):
        n, i = row // height, row % height
        h = i - top
        for part in range(parts):
            begin = part % tiles * tall
            valid = min(tall, C - begin)
            first = part // tiles * C + begin
            for j in range(width):
                w, target = j - left, (((part * N + n) * height + i) * width + j) * tall
                if h < 0 or h >= H or w < 0 or w >= W:
                    clear(run(panels, target, tall))
                else:
                    copy(run(panels, target, valid), run(source, ((n * H + h) * W + w) * channels + first, valid))


@jit
def _pack_gradient(gy, y, panels, groups, lanes):
    rows = gy.shape[0] * gy.shape[1]
    for row in prange(rows):
        pack_row(gy, y, panels, 0, row, rows * gy.shape[2], row, groups, lanes)


@jit
def _accumulate(a, b, gw, room, tiles, size, taps, pieces, places, step, depth, groups, fresh, tall, lanes,
                panel_tile):
    """gw[k, c][tap] = (unless fresh, itself +) the sum over places and d < depth of
    a[group, tile of c][taps[tap] + place + d*step + c] * b[group, place and d; k], for each tap.

    a: tiles of ``size`` numbers.  b: panels of (places and d, filters).  A task takes a tile of channels, a panel of
    filters and all taps, or one of so many pieces of them."""
    K, C, _, _ = gw.shape
    wide, filters, some = 2 * lanes, K // groups, taps.size // pieces
    padded = (filters + lanes - 1) // lanes * lanes
    parts, pixels = (padded + wide - 1) // wide, places.size * depth
    for task in prange(groups * parts * tiles * pieces):
        rest, first = task // pieces, task % pieces * some
        part, t = rest // tiles, rest % tiles
        group, column = part // parts, part % parts * wide
        width, begin = min(wide, padded - column), t * tall
        valid, height = min(width, filters - column), min(tall, C - begin)
        sums = numba.get_thread_id() * 2 * room.shape[2]  # where they are in room: [(c, tap), k], and then
        turned = sums + room.shape[2]  # [k, (c, tap)]
        zeros, lines = np.zeros(wide, a.dtype), np.arange(places.size) * (depth * width)
        for tap in range(some):
            tile.call(panel_tile,
                      (height, width // lanes, where(a, (group * tiles + t) * size + taps[first + tap]),
                       where(places, 0), step, where(b, (group * padded + column) * pixels), where(lines, 0), width,
                       places.size, depth, where(zeros, 0), 0, where(room, sums + tap * width), some * width))
        length = height * some
        transpose(room, turned, length, room, sums, width, length, valid)
        runs = 1 if pieces == 1 else height  # where all taps are here, the channels of a filter are one run
        for i in range(valid * runs):
            at = ((group * filters + column + i // runs) * C + begin + i % runs) * taps.size + first
            sum_up(run(gw, at, length // runs), run(room, turned + i * (length // runs), length // runs), fresh)
