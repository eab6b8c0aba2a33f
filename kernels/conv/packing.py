"""Copies that put numbers where the tiles want them: images between zeros, weights and gradients as panels."""

import numpy as np

from ..jit import inline, jit, prange
from ..runs import clear, copy, copy_masked, run
from ..transpose import transpose

_BLOCK = 8  # filters that a task takes
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


@jit
def pack_forward(weight, packed, groups, lanes):
    """Panels of filters: packed[g, panel][(r, s, c), k] = weight[g K/G + panel 2V + k, c, r, s], 0 beyond the last k.

    packed: (G, R*S*C/G, K/G rounded up to V), one panel after the other within a group."""
    (_, C, R, S), padded = weight.shape, packed.shape[2]
    filters, wide, taps, some = len(weight) // groups, 2 * lanes, R * S, max(1, _SOME // (R * S))
    panels, parts = (padded + wide - 1) // wide, (C + some - 1) // some
    for task in prange(groups * panels * parts):
        group, column, c0 = task // (panels * parts), task // parts % panels * wide, task % parts * some
        first, width, valid = group * filters + column, min(wide, padded - column), min(wide, filters - column)
        here, at = min(some, C - c0), (group * padded + column) * C * taps + c0 * width
        turned = np.zeros(here * taps * width, weight.dtype)  # [(c, tap), k]
        transpose(turned, 0, width, weight, (first * C + c0) * taps, C * taps, valid, here * taps)
        for tap in range(taps):
            for c in range(here):
                copy(run(packed, at + (tap * C + c) * width, width), run(turned, (c * taps + tap) * width, width))


@jit
def pack_backward(weight, packed, groups, lanes, parts):
    """Panels of channels, for all phases of the input gradient: those of a phase [g, panel][(tap, k), c], the taps
    backwards.

    parts: for each tap, the first row of its phase, how many rows that has for a group, none if no pixel is of it, and
    the tap's own first row among those of a panel."""
    (K, C, R, S), padded = weight.shape, packed.shape[2]
    filters, wide, taps = K // groups, 2 * lanes, R * S
    blocks = (filters + _BLOCK - 1) // _BLOCK
    for task in prange(groups * blocks):
        group, first = task // blocks, task % blocks * _BLOCK
        turned = np.zeros(taps * wide, weight.dtype)  # [tap, c]
        for column in range(0, padded, wide):
            width, valid = min(wide, padded - column), min(wide, C - column)
            if valid < width:  # else there were numbers of the panel before
                clear(turned)
            for k in range(first, min(first + _BLOCK, filters)):
                transpose(turned, 0, width, weight, ((group * filters + k) * C + column) * taps, taps, valid, taps)
                for tap in range(taps):
                    begin, rows, own = parts[tap, 0], parts[tap, 1], parts[tap, 2]
                    if rows:
                        at = begin * padded + (group * padded + column) * rows + (own + k) * width
                        copy(run(packed, at, width), run(turned, tap * width, width))


@jit
def unpack(sums, gw, groups, lanes):
    """gw[k, c, r, s] from panels [group, panel][(r, s, c), k]: the reverse of ``pack_forward``."""
    K, C, R, S = gw.shape
    filters, wide, padded = K // groups, 2 * lanes, sums.shape[2]
    flat, length = sums.reshape(-1), R * S * C
    for k in prange(K):
        group, inside = k // filters, k % filters
        column = inside // wide * wide
        width = min(wide, padded - column)
        base = (group * padded + column) * length + inside - column
        for c in range(C):
            for r in range(R):
                for s in range(S):
                    gw[k, c, r, s] = flat[base + ((r * S + s) * C + c) * width]
