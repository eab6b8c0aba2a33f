"""Winograd's smallest step, for images of few channels: two lines of y at a time, 3x3 filters, stride 1.

With few channels a product is short, and the transforms of ``winograd.py`` take longer than it saves.  This one goes
down the image only: of four lines of x it makes four others, with one addition for each number, and of the three lines
of a filter four.  Their four products are two lines of y, which direct takes six for (Winograd's F(2, 3)):

    y  = x0 w0 + x1 w1 + x2 w2  =  m0 + m1 + m2        m0 = (x0 - x2) w0     m1 = (x1 + x2) (w0 + w1 + w2) / 2
    y' = x1 w0 + x2 w1 + x3 w2  =  m1 - m2 + m3        m3 = (x3 - x1) w2     m2 = (x2 - x1) (w0 - w1 + w2) / 2

Each product is still a convolution, of a line with the S taps of a line.  So a pair tile (``tile.py``) makes all four,
and what is between them and y never leaves the registers, or the first cache.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import LINE
from ..runs import run, where
from ..scratch import prepared
from ..shapes import planned
from .packing import frame_row, one_phase, pack, pack_bias

TAPS = 3
_LINES = 4  # of x, that two lines of y see
_TASKS = 64  # lines of y in a batch; if it has fewer, a task takes a part of the filters


def convolve(source, y, weight, bias, result, stride, padding, groups, relu, backwards, kept, scratch):
    """Arguments as in ``direct.py``; stride and groups are 1."""
    if backwards:
        padding = TAPS - 1 - padding[0], TAPS - 1 - padding[1]
    best, item, (N, P, Q, K) = isa.chosen(), source.itemsize, result.shape
    packed, panels, offsets, lines, spare = scratch(*_plan(source.shape[3], K, Q, source.dtype,
                                                           numba.get_num_threads()))
    pack_bias(bias, offsets)
    panels = prepared(kept, "pairs", panels, lambda space: _pack(weight, packed, space, best.lanes(item), backwards))
    parts = min(-(-K // best.columns(item)), -(-_TASKS // max(1, N * P)))  # of the filters
    _multiply(source, y, panels, offsets, result, lines, spare, parts, *padding, relu, best.pair_rows,
              best.lanes(item), tile.address("pair", item, streams=tile.may_stream(result, K)))


@planned
def _plan(C, K, Q, dtype, threads):
    """The (shape, dtype) of panels of weights, with as many lines as filters have and with four, of the bias, and of
    each thread's lines of x and tile of y."""
    return (*(((1, lines * TAPS * C, K), dtype) for lines in (TAPS, _LINES)), ((1, K), dtype),
            ((threads, _LINES, (Q + TAPS - 1) * C + LINE), dtype), ((threads, isa.chosen().pair_rows * K), dtype))


def _pack(weight, packed, panels, lanes, backwards):
    taps = one_phase(TAPS * TAPS, weight.shape[0 if backwards else 1], backwards)
    pack(np.ascontiguousarray(weight), packed, 1, lanes, taps, backwards)
    _transform(packed.reshape(-1), panels.reshape(-1), packed.shape[2], 2 * lanes)


@jit
def _transform(packed, panels, K, wide):
    """The three lines of all filters of a panel to four."""
    length = packed.size // K // TAPS  # of a line
    for panel in prange((K + wide - 1) // wide):
        first, size = panel * wide * length, min(wide, K - panel * wide) * length
        w, half = run(packed, first * TAPS, size * TAPS), packed.dtype.type(0.5)
        made = run(panels, first * _LINES, size * _LINES)
        for i in range(size):
            middle, both = half * w[i + size], half * (w[i] + w[i + 2 * size])
            made[i], made[i + 3 * size] = w[i], w[i + 2 * size]
            made[i + size], made[i + 2 * size] = both + middle, both - middle


@inline
def _combine(x0, x1, x2, x3):
    """Four lines of x, to those that are multiplied, in place."""
    for i in range(x0.size):
        above, here = x1[i], x2[i]
        x0[i] -= here
        x1[i] = above + here
        x2[i] = here - above
        x3[i] -= above


@jit
def _multiply(source, y, panels, bias, result, lines, spare, parts, top, left, relu, tall, lanes, pair_tile):
    """A task makes two lines of the result, or a part of their channels."""
    (N, P, Q, K), C, wide = result.shape, source.shape[3], 2 * lanes
    depth, pairs, tiles, all_panels = TAPS * C, (P + 1) // 2, (Q + tall - 1) // tall, (K + wide - 1) // wide
    width, pitch = Q + TAPS - 1, lines.shape[2]
    size = width * C
    for task in prange(N * pairs * parts):
        n, p, part, slot = task // parts // pairs, task // parts % pairs * 2, task % parts, numba.get_thread_id()
        column, end = all_panels * part // parts * wide, min(all_panels * (part + 1) // parts * wide, K)
        at = slot * _LINES * pitch
        for i in range(_LINES):
            frame_row(source, y, lines, at + i * pitch, width, n, p + i - top, left)
        _combine(run(lines, at, size), run(lines, at + pitch, size), run(lines, at + 2 * pitch, size),
                 run(lines, at + 3 * pitch, size))
        for t in range(tiles):
            q, behind = Q * t // tiles, Q * (t + 1) // tiles  # of nearly equal height
            target, below = where(result, ((n * P + p) * Q + q) * K + column), Q * K
            if p + 1 == P:  # a line without a second one
                below = (where(spare, slot * spare.shape[1]) - target) // result.itemsize
            tile.call(pair_tile, (behind - q, (end - column) // lanes, where(lines, at + q * C), pitch, C, depth,
                                  where(panels, column * _LINES * depth), _LINES * depth * wide, where(bias, column),
                                  target, K, below, relu))
