"""Copies that put numbers where the tiles want them: images between zeros, weights and gradients as panels."""

import numpy as np

from ..jit import inline, jit, prange
from ..runs import clear, copy, copy_masked, run
from ..shapes import planned
from ..transpose import transpose

_BLOCK = 8  # filters that a task of the input gradient takes
_SOME = 128  # numbers of a filter that are turned at a time: of 32 filters, they fit into the first cache twice


@jit
def frame(source, y, target, top, left):
    """target[n, i, j] = source[n, i - top, j - left], and 0 outside the source.

    All three (N, H, W, C).  y: None, or an array like source: what is not positive there counts as 0 in source.
    A negative top or left cuts off the edge."""
    N, height, width, C = target.shape
    for row in prange(N * height):
        frame_row(source, y, target, row * width * C, width, row // height, row % height - top, left)


@inline
def frame_row(source, y, target, line, width, n, h, left):
    """Row h of image n, ``width`` pixels from pixel -left on, to the numbers of ``target`` from ``line`` on."""
    _, H, W, C = source.shape
    first, last = min(width, max(0, left)), max(0, min(width, W + left))  # what lies inside the source
    if h < 0 or h >= H or last <= first:
        clear(run(target, line, width * C))
        return
    at, size = ((n * H + h) * W + first - left) * C, (last - first) * C
    clear(run(target, line, first * C))
    clear(run(target, line + last * C, (width - last) * C))
    copy_masked(run(target, line + first * C, size), source, y, at)


@inline
def pack_row(gy, y, panels, start, line, pixels, row, groups, lanes):
    """A row of gy (N, P, Q, K) as line ``line`` of panels [group, panel][(line, q), k] of so many pixels, from
    ``start`` on: 0 beyond the last k of a group and, unless y is None, where y is not positive."""
    _, _, Q, K = gy.shape
    filters, wide = K // groups, 2 * lanes
    padded = (filters + lanes - 1) // lanes * lanes
    parts = (padded + wide - 1) // wide
    for part in range(groups * parts):
        group, column = part // parts, part % parts * wide
        width, valid = min(wide, padded - column), min(wide, filters - column)
        base, first = start + (group * padded + column) * pixels, group * filters + column
        for q in range(Q):
            at, pixel = base + (line * Q + q) * width, (row * Q + q) * K + first
            copy_masked(run(panels, at, valid), gy, y, pixel)
            clear(run(panels, at + valid, width - valid))


def pack_bias(bias, offsets):
    """offsets[g, k] = bias[g K/G + k], 0 beyond the last k of a group, or everywhere if bias is None."""
    groups = len(offsets)
    offsets[...] = 0
    if bias is not None:
        offsets[:, :len(bias) // groups] = bias.reshape(groups, -1)


@planned
def one_phase(taps, rows, backwards):
    """The ``parts`` of :func:`pack` for taps of one phase, in their order or backwards, with so many rows each.  Kept:
    only to be read."""
    own = np.arange(taps)[::-1 if backwards else 1] * rows
    return np.stack(np.broadcast_arrays(0, taps * rows, own), axis=1)


@jit
def pack(weight, packed, groups, lanes, parts, backwards):
    """Panels of filters, for all phases of a pass: those of a phase [g, panel][(tap, c), k], 0 beyond the last k of a
    group.  With ``backwards`` of channels: [(tap, k), c].

    parts: for each tap, the first row of its phase, how many rows that has for a group, none if no pixel is of it, and
    the tap's own first row among those of a panel."""
    (K, C, R, S), padded = weight.shape, packed.shape[2]
    filters, wide, taps = K // groups, 2 * lanes, R * S
    # Of a panel: its rows and columns, how far apart they are in memory, how many rows are turned at a time.
    rows, row_step, columns, column_step, some = C, taps, filters, C * taps, max(1, _SOME // taps)
    block = some  # rows that a task takes
    if backwards:
        rows, row_step, columns, column_step, some, block = filters, C * taps, C, taps, 1, _BLOCK
    panels, blocks = (padded + wide - 1) // wide, (rows + block - 1) // block
    for task in prange(groups * blocks * panels):  # in the order in which memory has the weights
        group, rest = task // (blocks * panels), task % (blocks * panels)
        first, column = (rest // panels, rest % panels) if backwards else (rest % blocks, rest // blocks)
        first, column = first * block, column * wide
        width, valid, end = min(wide, padded - column), min(wide, columns - column), min(first + block, rows)
        turned = np.empty(some * taps * width, weight.dtype)  # [(row, tap), column]
        if valid < width:
            clear(turned)
        for row in range(first, end, some):
            here = min(some, end - row)
            at = group * filters * C * taps + row * row_step + column * column_step
            transpose(turned, 0, width, weight, at, column_step, valid, here * taps)
            for tap in range(taps):
                begin, height, own = parts[tap, 0], parts[tap, 1], parts[tap, 2]
                to = begin * padded + (group * padded + column) * height + (own + row) * width
                for i in range(here if height else 0):
                    copy(run(packed, to + i * width, width), run(turned, (i * taps + tap) * width, width))
