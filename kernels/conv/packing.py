"""Copies that put numbers where the tiles want them: images between zeros, weights and gradients as panels."""

import numpy as np

from ..jit import inline, jit, prange
from ..runs import clear, copy, copy_masked, run


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


@jit
def pack_forward(weight, packed, groups, lanes):
    """Panels of filters: packed[g, panel][(r, s, c), k] = weight[g K/G + panel 2V + k, c, r, s], 0 beyond the last k.

    packed: (G, R*S*C/G, K/G rounded up to V), one panel after the other within a group."""
    K, C, R, S = weight.shape
    filters, wide, padded, taps = K // groups, 2 * lanes, packed.shape[2], R * S
    panels, chunk = (padded + wide - 1) // wide, max(1, 128 // taps)
    chunks, length = (C + chunk - 1) // chunk, taps * C
    for task in prange(groups * panels * chunks):
        group, rest = task // (panels * chunks), task % (panels * chunks)
        column, c0 = rest // chunks * wide, rest % chunks * chunk
        width, size = min(wide, padded - column), min(chunk, C - c0) * taps
        pitch = size + 1  # lest one column of them falls into few sets of the cache
        lines = np.zeros(width * pitch, weight.dtype)
        for k in range(min(width, filters - column)):
            copy(run(lines, k * pitch, size), run(weight, (group * filters + column + k) * length + c0 * taps, size))
        base = (group * padded + column) * length
        for tap in range(taps):
            for c in range(min(chunk, C - c0)):
                target = run(packed, base + (tap * C + c0 + c) * width, width)
                for k in range(width):
                    target[k] = lines[k * pitch + c * taps + tap]


@jit
def pack_backward(weight, packed, groups, lanes, stride, phase):
    """Panels of channels, for the pixels of one phase: those that taps (a + d*stride_h, b + e*stride_w) see.

    packed[g, panel][(d', e', k), c] = weight[g K/G + k, panel 2V + c, a + (D-1-d') stride_h, b + (E-1-e') stride_w]:
    the taps run backwards."""
    K, C, R, S = weight.shape
    filters, wide, padded = K // groups, 2 * lanes, packed.shape[2]
    D, E = (R - phase[0] + stride[0] - 1) // stride[0], (S - phase[1] + stride[1] - 1) // stride[1]
    panels, chunk = (padded + wide - 1) // wide, 16
    chunks, length = (filters + chunk - 1) // chunk, D * E * filters
    for task in prange(groups * panels * chunks):
        group, rest = task // (panels * chunks), task % (panels * chunks)
        column, k0 = rest // chunks * wide, rest % chunks * chunk
        width, valid = min(wide, padded - column), min(wide, C - column)
        base = (group * padded + column) * length
        for k in range(k0, min(k0 + chunk, filters)):
            channels = run(weight, ((group * filters + k) * C + column) * R * S, valid * R * S)
            for d in range(D):
                for e in range(E):
                    tap = (phase[0] + (D - 1 - d) * stride[0]) * S + phase[1] + (E - 1 - e) * stride[1]
                    target = run(packed, base + ((d * E + e) * filters + k) * width, width)
                    for c in range(valid):
                        target[c] = channels[c * R * S + tap]
                    for c in range(valid, width):
                        target[c] = 0


@jit
def pack_bias(bias, packed, groups):
    """packed (G, K/G rounded up): the bias of each group, or zeros if there is none."""
    for group in prange(groups):
        row = packed[group]
        row[:] = 0
        if bias is not None:
            size = bias.size // groups
            row[:size] = bias[group * size:(group + 1) * size]


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
