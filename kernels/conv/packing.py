"""Copies that put numbers where the tiles want them: images between zeros, weights and gradients as panels."""

from ..jit import inline, jit, prange
from ..runs import clear, copy, copy_where, run


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
    if y is None:
        copy(run(target, line + first * C, size), run(source, at, size))
    else:
        copy_where(run(target, line + first * C, size), run(source, at, size), run(y, at, size))


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
            if y is None:
                copy(run(panels, at, valid), run(gy, pixel, valid))
            else:
                copy_where(run(panels, at, valid), run(gy, pixel, valid), run(y, pixel, valid))
            clear(run(panels, at + valid, width - valid))


@jit
def pack_forward(weight, packed, groups, lanes):
    """Panels of filters: packed[g, panel][(r, s, c), k] = weight[g K/G + panel 2V + k, c, r, s], 0 beyond the last k.

    packed: (G, R*S*C/G, K/G rounded up to V), one panel after the other within a group."""
    K, C, R, S = weight.shape
    filters, wide, padded = K // groups, 2 * lanes, packed.shape[2]
    panels, chunk = (padded + wide - 1) // wide, 16
    chunks = (C + chunk - 1) // chunk
    flat, length = packed.reshape(-1), R * S * C
    for task in prange(groups * panels * chunks):
        group, rest = task // (panels * chunks), task % (panels * chunks)
        panel, c0 = rest // chunks, rest % chunks * chunk
        width = min(wide, padded - panel * wide)
        base = (group * padded + panel * wide) * length
        for k in range(width):
            inside = panel * wide + k < filters
            for c in range(c0, min(c0 + chunk, C)):
                for r in range(R):
                    for s in range(S):
                        place = base + ((r * S + s) * C + c) * width + k
                        flat[place] = weight[group * filters + panel * wide + k, c, r, s] if inside else 0


@jit
def pack_backward(weight, packed, groups, lanes, stride, phase):
    """Panels of channels, for the pixels of one phase: those that taps (a + d*stride_h, b + e*stride_w) see.

    packed[g, panel][(d', e', k), c] = weight[g K/G + k, panel 2V + c, a + (D-1-d') stride_h, b + (E-1-e') stride_w]:
    the taps run backwards."""
    K, C, R, S = weight.shape
    filters, wide, padded = K // groups, 2 * lanes, packed.shape[2]
    D, E = (R - phase[0] + stride[0] - 1) // stride[0], (S - phase[1] + stride[1] - 1) // stride[1]
    panels, chunk = (padded + wide - 1) // wide, 16
    chunks = (filters + chunk - 1) // chunk
    flat, length = packed.reshape(-1), D * E * filters
    for task in prange(groups * panels * chunks):
        group, rest = task // (panels * chunks), task % (panels * chunks)
        panel, k0 = rest // chunks, rest % chunks * chunk
        width = min(wide, padded - panel * wide)
        base = (group * padded + panel * wide) * length
        for k in range(k0, min(k0 + chunk, filters)):
            for c in range(width):
                inside = panel * wide + c < C
                for d in range(D):
                    r = phase[0] + (D - 1 - d) * stride[0]
                    for e in range(E):
                        s = phase[1] + (E - 1 - e) * stride[1]
                        place = base + ((d * E + e) * filters + k) * width + c
                        flat[place] = weight[group * filters + k, panel * wide + c, r, s] if inside else 0


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
