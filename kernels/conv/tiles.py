"""Tiles of images and of filters, read and written: what the two ways through Winograd's convolution share.

Along a direction, the first tiles of an image are larger by a pixel, and a point, than the others: as many as cover it
best.  The places (i, j) of transformed tiles, i points down and j across, are of four kinds, for i, or j, or both, may
be the point that only the larger tiles have.  In the matrix of a place stand the tiles that have it, one after the
other.
"""

from typing import NamedTuple

import numba

from ..jit import inline
from ..runs import clear, copy, copy_masked, run, where
from ..shapes import planned
from ..transpose import transpose
from .transforms import CHUNK, PATCH, PLACE, POINTS, ROW, g_both, g_transposed_both, grid, whole


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
def _earlier(t, tiles, rows, columns):
    """How many tiles before t are in the first ``rows`` and ``columns`` of their image."""
    n, rest = t // tiles.count, t % tiles.count
    i, j = rest // tiles.right, rest % tiles.right
    return (n * rows + min(i, rows)) * columns + (min(j, columns) if i < rows else 0)


@inline
def since(first, t, tiles):
    """For each kind of places, how many of the tiles from ``first`` to before t take part: all; those larger to the
    right; larger downwards; both."""
    down, right = tiles.larger_down, tiles.larger_right
    return (t - first, _earlier(t, tiles, tiles.down, right) - _earlier(first, tiles, tiles.down, right),
            _earlier(t, tiles, down, tiles.right) - _earlier(first, tiles, down, tiles.right),
            _earlier(t, tiles, down, right) - _earlier(first, tiles, down, right))


@inline
def kind(i, j, tiles):
    """That of place (i, j)."""
    return 2 * (1 if i >= tiles.least else 0) + (1 if j >= tiles.least else 0)


@inline
def find_places(places, pitch, step, earlier, tiles):
    """Where a transformed tile is: the matrix of place (i, j) begins n*i + j times ``pitch`` after the first, and has
    ``step`` numbers for each of the ``earlier`` tiles.  What a last vector writes behind them, the next tile writes
    over; and behind the last tile there are SKEW numbers."""
    for i in range(tiles.n):
        which = kind(i, 0, tiles)
        usual, last = earlier[which] * step, earlier[which + 1] * step
        for j in range(tiles.n):
            places[i * POINTS + j] = (i * tiles.n + j) * pitch + (usual if j < tiles.least else last)


@inline
def find(source, y, own, patch, n, top, left, p, q, c0, count):
    """The addresses of p x q pixels of ``count`` channels, from pixel (top, left) of image n and from channel c0 on,
    and of their places: in the image itself, whose ``own`` places are given, if they are there and whole vectors; or in
    the patch, with 0 outside the image and where y is not positive."""
    _, H, W, channels = source.shape
    at = ((n * H + top) * W + left) * channels + c0
    if y is None and count == whole(count) and top >= 0 and left >= 0 and top + p <= H and left + q <= W:
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
def put(tile, result, n, top, left, p, q, first, size):
    """The p x q pixels of a tile, ``size`` channels from the first on, to their places in image n."""
    _, P, Q, K = result.shape
    for i in range(min(p, P - top)):
        for j in range(min(q, Q - left)):
            copy(run(result, ((n * P + top + i) * Q + left + j) * K + first, size),
                 run(tile, i * ROW + j * CHUNK, size))


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
        g_both(weight.dtype, R, n, where(taps, 0), where(tap_places, 0), where(some, made + row * width),
               where(places, 0), CHUNK)
    return made


@inline
def transform_sums(sums, n, start, pitch, gw, rooms, group, groups, first, width, begin, rows):
    """gw = G' s G of ``width`` filters from ``first`` on and ``rows`` channels from ``begin`` on, of sums[place][c, k],
    from ``start`` on, the places ``pitch`` numbers apart."""
    K, C, R, _ = gw.shape
    filters, step = K // groups, C * R * R
    count, at = min(width, filters - first), ((group * filters + first) * C + begin) * R * R
    taps, tap_places, places = room(rooms), grid(R * CHUNK, CHUNK), grid(n * pitch, pitch)
    for row in range(0, rows, CHUNK // width):
        here = min(CHUNK // width, rows - row)
        g_transposed_both(gw.dtype, R, n, where(sums, start + (begin + row) * width), where(places, 0), where(taps, 0),
                          where(tap_places, 0), here * width)
        for i in range(here):
            transpose(gw, at + (row + i) * R * R, step, taps, i * width, CHUNK, R * R, count)
