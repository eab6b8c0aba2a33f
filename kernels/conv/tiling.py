"""Tiles of images and of filters, read and written: what the two ways through Winograd's convolution share.

Along a direction, the first tiles of an image are larger by a pixel, and a point, than the others: as many as cover it
best.  The places (i, j) of transformed tiles, i points down and j across, are of four kinds, for i, or j, or both, may
be the point that only the larger tiles have.  In the matrix of a place stand the tiles that have it, one after the
other.
"""

from typing import NamedTuple

import numba
import numpy as np

from .. import tile
from ..jit import inline
from ..runs import clear, copy, copy_masked, run, where
from ..shapes import planned
from ..transpose import transpose
from .transforms import CHUNK, PATCH, PLACE, POINTS, ROW, VECTOR, a_transposed_both, b_both, g_both, grid


class Tiles(NamedTuple):
    """How images are cut into tiles.  A kernel takes it as a plain tuple: to recognise any other costs Numba 50 KB."""

    down: int  # tiles
    larger_down: int  # so many of them, the first ones
    right: int
    larger_right: int
    m: int  # pixels of the smaller tiles, in a direction
    least: int  # points of those
    n: int  # points of the largest
    more: int  # pixels of x that a tile sees beside its own, in a direction
    count: int  # of an image
    places: int  # of the transformed filters: n*n


@planned
def tiles_of(size, taps):
    """The tiles of a result of (P, Q) pixels: of all those possible the ones with the fewest products."""
    least = 6 if taps == 3 else 7
    m = least + 1 - taps
    (down, larger_down), (right, larger_right) = (_cover(pixels, m) for pixels in size)
    n = least + (larger_down + larger_right > 0)
    return Tiles(down, larger_down, right, larger_right, m, least, n, taps - 1, down * right, n * n)


def _cover(pixels, m):
    """(tiles, larger ones among them).  Every tile has taps - 1 points beside its pixels, so as few as possible."""
    tiles = -(-pixels // (m + 1))
    return tiles, max(0, pixels - tiles * m)


def products(tiles):
    """The products for an image, of each channel and filter."""
    return (tiles.down * tiles.least + tiles.larger_down) * (tiles.right * tiles.least + tiles.larger_right)


def rooms(threads, dtype):
    """The scratch memory of :func:`room`."""
    return (threads, POINTS * ROW), dtype


@inline
def room(rooms):
    """A thread's tile of pixels, or of taps, which are 0."""
    patch = run(rooms, numba.get_thread_id() * POINTS * ROW, POINTS * ROW)
    clear(patch)
    return patch


@inline
def corner(t, tiles):
    """The image of a tile, its first pixel, and how many rows and columns of pixels it makes."""
    n, rest = t // tiles.count, t % tiles.count
    i, j = rest // tiles.right, rest % tiles.right
    return (n, i * tiles.m + min(i, tiles.larger_down), j * tiles.m + min(j, tiles.larger_right),
            tiles.m + (1 if i < tiles.larger_down else 0), tiles.m + (1 if j < tiles.larger_right else 0))


@inline
def sort(order, first, tiles):
    """Fills ``order`` with the tiles from ``first`` on, such that those that have a place follow each other: the larger
    ones downwards only, in both directions, to the right only, and the small ones.  Returns where each of these
    ends."""
    row, ends = 0, np.empty(4, np.int64)
    for which in range(4):
        for t in range(first, first + order.size):
            _, _, _, p, q = corner(t, tiles)
            if (p > tiles.m) == (which < 2) and (q > tiles.m) == (0 < which < 3):
                order[row] = t
                row += 1
        ends[which] = row
    return ends


@inline
def having(place, ends, tiles):
    """The rows, from and up to, of the tiles that have a place."""
    down, right = place // tiles.n >= tiles.least, place % tiles.n >= tiles.least
    return ends[0] if right else 0, ends[1] if down else ends[2] if right else ends[3]


@inline
def find(source, y, own, patch, n, top, left, p, q, c0, count):
    """The addresses of p x q pixels of ``count`` channels, from pixel (top, left) of image n and from channel c0 on,
    and of their places: in the image itself, whose ``own`` places are given, if they are there and whole vectors; or in
    the patch, with 0 outside the image and where y is not positive."""
    _, H, W, channels = source.shape
    at = ((n * H + top) * W + left) * channels + c0
    if y is None and count % VECTOR == 0 and top >= 0 and left >= 0 and top + p <= H and left + q <= W:
        return where(source, at), where(own, 0)
    for i in range(p):
        for j in range(q):
            target = run(patch, i * ROW + j * CHUNK, count)
            h, w = top + i, left + j
            if h < 0 or h >= H or w < 0 or w >= W:
                clear(target)
            else:
                copy_masked(target, source, y, at + own[i * POINTS + j])
    return where(patch, 0), where(PATCH, 0)


@inline
def transform_pixels(source, y, own, patch, t, tiles, padding, first, channels, v, at, places):
    """v = B' x B of what tile t sees, of so many channels from the first on, from ``at`` on.  What the last vector
    writes behind them, the next tile writes over; and behind the last tile there are SKEW numbers."""
    n, top, left, p, q = corner(t, tiles)
    height, width = p + tiles.more, q + tiles.more
    for c in range(0, channels, CHUNK):
        size = min(CHUNK, channels - c)
        pixels, there = find(source, y, own, patch, n, top - padding[0], left - padding[1], height, width, first + c,
                             size)
        b_both(v.dtype, height, width, height, width, pixels, there, where(v, at + c), where(places, 0), size, ())


@inline
def multiply(v, begin, step, depth, weights, at, apart, panel, u, to, width, fresh, ends, tiles, tall, lanes, even,
             address):
    """u[place][t, k] = (unless fresh, itself +) the sum over c < depth of v[place][t, c] weights[place][c, k], for the
    tiles t that have the place.  The numbers of a tile are ``step``, in u ``width``, apart; the weights of a place
    ``apart``, and their panels ``panel``.

    By even tiles, or, always fresh, by gather tiles: what an even tile asks for in time is in the way of weights that
    come from memory."""
    nothing, zeros = np.zeros(width, v.dtype), np.zeros(tall, np.int64)
    rows, targets = np.arange(tall) * step, np.arange(tall) * width
    for place in range(tiles.places):
        low, high = having(place, ends, tiles)
        heights = (high - low + tall - 1) // tall
        for i in range(heights):  # of nearly equal height
            t, end = low + (high - low) * i // heights, low + (high - low) * (i + 1) // heights
            a, b = where(v, begin + place * v.shape[2] + t * step), where(weights, at + place * apart)
            y = where(u, to + place * u.shape[2] + t * width)
            if even:
                init, init_step = (where(nothing, 0), 0) if fresh else (y, width)
                tile.call(address, (end - t, width // lanes, a, step, depth, b, panel, init, init_step, y, width, 0))
            else:
                tile.call(address, (end - t, width // lanes, a, where(rows, 0), where(zeros, 0), 0, 1, depth, b, panel,
                                    where(nothing, 0), where(zeros, 0), y, where(targets, 0), 0))


@inline
def transform_back(u, at, places, patch, t, tiles, result, first, columns, bias, bias_at, relu):
    """Of tile t, y = A' u A + bias, and with ``relu`` 0 where that is negative, to so many channels of the result from
    the first on."""
    _, P, Q, K = result.shape
    n, top, left, p, q = corner(t, tiles)
    for k in range(0, columns, CHUNK):
        size = min(CHUNK, columns - k)
        a_transposed_both(u.dtype, p + tiles.more, q + tiles.more, p, q, where(u, at + k), where(places, 0),
                          where(patch, 0), where(PATCH, 0), size, (where(bias, bias_at + k), relu))
        for i in range(min(p, P - top)):
            for j in range(min(q, Q - left)):
                copy(run(result, ((n * P + top + i) * Q + left + j) * K + first + k, size),
                     run(patch, i * ROW + j * CHUNK, size))


@inline
def transform_weights(weight, n, some, rooms, group, groups, first, width, begin, rows, backwards):
    """G w G', with n x n places, of ``width`` filters from ``first`` on and ``rows`` channels from ``begin`` on (or,
    ``backwards``, channels and filters, with the taps reversed), for the thread: some[place][c, k], the places PLACE
    numbers apart; 0 beyond the last filter.  Returns where the first place begins.  At most ROWS * CHUNK numbers of a
    place; ``width`` divides CHUNK, and CHUNK numbers at a time are transformed, of several channels."""
    K, C, R, _ = weight.shape
    filters, step, next_row = K // groups, C * R * R, R * R
    at = ((group * filters + first) * C + begin) * R * R
    if backwards:
        step, next_row, at = R * R, C * R * R, ((group * filters + begin) * C + first) * R * R
    count, made = min(width, (C if backwards else filters) - first), numba.get_thread_id() * n * n * PLACE
    taps, tap_places, places = room(rooms), grid(R * CHUNK, CHUNK), grid(n * PLACE, PLACE)
    first_tap, next_tap = ((R * R - 1) * CHUNK, -CHUNK) if backwards else (0, CHUNK)
    for row in range(0, rows, CHUNK // width):
        for i in range(min(CHUNK // width, rows - row)):
            transpose(taps, first_tap + i * width, next_tap, weight, at + (row + i) * next_row, step, count, R * R)
        g_both(weight.dtype, R, R, n, n, where(taps, 0), where(tap_places, 0), where(some, made + row * width),
               where(places, 0), CHUNK, ())
    return made
