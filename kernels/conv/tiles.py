"""Tiles of images and of filters, read and written: what the two ways through Winograd's convolution share.

A tile is 6 x 6 pixels, for CHUNK channels at a time (``transforms.py``).
"""

import numba
import numpy as np

from ..jit import inline
from ..runs import add, clear, clip, copy, copy_masked, run
from .transforms import CHUNK, PLACE, g_both, g_transposed_both


@inline
def room(dtype):
    """Three tiles of a thread: the pixels (or taps), one for a transform's first half, and the transformed tile."""
    return np.zeros(36 * CHUNK, dtype), np.zeros(36 * CHUNK, dtype), np.zeros(36 * CHUNK, dtype)


@inline
def corner(t, tiles, m):
    """The image of a tile, and its first pixel."""
    n, rest = t // (tiles[0] * tiles[1]), t % (tiles[0] * tiles[1])
    return n, rest // tiles[1] * m, rest % tiles[1] * m


@inline
def load(source, y, patch, n, top, left, size, c0, count):
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
            else:
                copy_masked(target, source, y, at)


@inline
def put(tile, bias, result, n, top, left, m, first, size, relu):
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


@inline
def store(full, target, at, pitch, size):
    """The first ``size`` channels of a tile's 36 places to runs of the target, from ``at`` on ``pitch`` numbers
    apart."""
    for place in range(36):
        copy(run(target, at + place * pitch, size), run(full, place * CHUNK, size))


@inline
def fetch(full, source, at, pitch, size):
    """The reverse of :func:`store`."""
    for place in range(36):
        copy(run(full, place * CHUNK, size), run(source, at + place * pitch, size))


def _taps_of(R):
    """Read and write filters of R x R taps: made for each size, since the compiler unrolls loops over a constant.

    Filter i is weight[at + i*step + (r, s)], of elements in memory order, and taps[(r, s), first + i]."""
    @inline
    def collect(weight, at, step, count, taps, first, backwards):
        for i in range(count):
            w = run(weight, at + i * step, R * R)
            if backwards:
                for r in range(R):
                    for s in range(R):
                        taps[(6 * (R - 1 - r) + R - 1 - s) * CHUNK + first + i] = w[R * r + s]
            else:
                for r in range(R):
                    for s in range(R):
                        taps[(6 * r + s) * CHUNK + first + i] = w[R * r + s]

    @inline
    def spread(taps, first, count, weight, at, step):
        for i in range(count):
            w = run(weight, at + i * step, R * R)
            for r in range(R):
                for s in range(R):
                    w[R * r + s] = taps[(6 * r + s) * CHUNK + first + i]

    return collect, spread


_collect3, _spread3 = _taps_of(3)
_collect5, _spread5 = _taps_of(5)


@inline
def transform_weights(weight, whole, start, pitch, some, group, groups, first, width, begin, rows, backwards):
    """G w G' of ``width`` filters from ``first`` on and ``rows`` channels from ``begin`` on (or, ``backwards``,
    channels and filters, with the taps reversed): whole[place][c, k], from ``start`` on, the places ``pitch`` numbers
    apart; 0 beyond the last filter.  At most ROWS * CHUNK in all; ``width`` divides CHUNK.

    CHUNK numbers at a time are transformed, of several channels.  A thread collects ``some`` before it writes it to the
    36 places: a processor makes the stores in order, and those that miss the caches would hold up the next
    transform."""
    K, C, R, _ = weight.shape
    filters, step, next_row = K // groups, C * R * R, R * R
    at = ((group * filters + first) * C + begin) * R * R
    if backwards:
        step, next_row, at = R * R, C * R * R, ((group * filters + begin) * C + first) * R * R
    count, made = min(width, (C if backwards else filters) - first), numba.get_thread_id() * 36 * PLACE
    taps, spare, _ = room(weight.dtype)
    for row in range(0, rows, CHUNK // width):
        for i in range(min(CHUNK // width, rows - row)):
            if R == 3:
                _collect3(weight, at + (row + i) * next_row, step, count, taps, i * width, backwards)
            else:
                _collect5(weight, at + (row + i) * next_row, step, count, taps, i * width, backwards)
        g_both(R, taps, some, made + row * width, spare)
    for place in range(36):
        copy(run(whole, start + place * pitch + begin * width, rows * width),
             run(some, made + place * PLACE, rows * width))


@inline
def transform_sums(sums, start, pitch, gw, group, groups, first, width, begin, rows):
    """gw = G' s G of ``width`` filters from ``first`` on and ``rows`` channels from ``begin`` on, of sums that lie as
    :func:`transform_weights` leaves weights."""
    K, C, R, _ = gw.shape
    filters, step = K // groups, C * R * R
    count, at = min(width, filters - first), ((group * filters + first) * C + begin) * R * R
    taps, spare, full = room(gw.dtype)
    for row in range(0, rows, CHUNK // width):
        here = min(CHUNK // width, rows - row)
        fetch(full, sums, start + (begin + row) * width, pitch, here * width)
        g_transposed_both(R, full, taps, spare)
        for i in range(here):
            if R == 3:
                _spread3(taps, i * width, count, gw, at + (row + i) * R * R, step)
            else:
                _spread5(taps, i * width, count, gw, at + (row + i) * R * R, step)
