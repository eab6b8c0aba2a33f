"""The weight gradient: for each tap of each filter, a sum over all pixels of all images.

gw[(r, s, c), k] is the product of two tall matrices, x seen through a tap (pixels, C) and gy (pixels, K), and its
result is small.  A panel tile holds some channels times a panel of filters in registers while the pixels go by.  For
that the channels of a tile must lie side by side, and one pixel's near the next's: x is copied into panels of as many
channels as the tile is tall, gy into panels as wide as it is, some images at a time, so that a panel of each stays in
a core's cache while all taps are taken.  With few channels (conv1 has three) a row of the window, S*C numbers that lie
side by side already, takes the place of a panel.

Each chunk of images is summed from zero, and the chunks are added up: shorter sums round better than one long one.
The chunks follow from the shapes alone, and so does every bit of the result.
"""

import math

import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..layout import channels_last
from ..runs import add, clear, copy, copy_where, run, where
from ..scratch import deal
from .direct import needed_size
from .packing import frame

_PANELS = 700 << 10  # bytes of a panel of x and one of gy: they share a core's second cache
_CHUNK = 8 << 20  # bytes of all panels of a chunk of images
_FEW = 8  # fewer channels than this make no panel


def backward_weight(x, gy, gw, y, stride, padding, groups, scratch):
    pixels, gradients, sums = deal(scratch, *plan(x, gy, gw, stride, padding, groups))
    xs, gys, ys = channels_last(x), channels_last(gy), None if y is None else channels_last(y)
    best, item, (K, C, R, S) = isa.chosen(), x.itemsize, gw.shape
    _, P, Q, _ = gys.shape
    for begin in range(0, len(xs), len(gradients)):
        images = slice(begin, min(begin + len(gradients), len(xs)))
        count = images.stop - begin
        panels = gradients.reshape(-1)[:count * gradients[0].size]
        _pack_gradient(gys[images], None if ys is None else ys[images], panels, groups, best.lanes(item))
        if C >= _FEW:  # rows of a tile: some channels, seen through one tap
            source = pixels.reshape(-1)[:count * pixels[0].size].reshape(-1, count, *pixels.shape[2:])
            _pack_pixels(xs[images], source, groups, *padding)
            length, merged = C, False
            steps = source[0].size * (len(source) // groups), source[0].size  # to the next group, to the next tile
        else:  # rows of a tile: a run of a window
            source = xs[images][None]
            if pixels.size:
                source = pixels.reshape(1, -1, *pixels.shape[2:])[:, :count]
                frame(xs[images], None, source[0], *padding)
            merged = groups == 1
            length, steps = (S * C if merged else C), (C, 0)
        _, _, height, width, along = source.shape
        taps = np.arange(R) * width if merged else (np.arange(R)[:, None] * width + np.arange(S)).reshape(-1)
        places = np.arange(count)[:, None] * height + np.arange(P) * stride[0]
        accumulate(source.reshape(-1), panels, sums.reshape(-1), steps, length, taps * along,
                   np.arange(len(taps)) * length, (places * (width * along)).reshape(-1), stride[1] * along, Q,
                   K // groups, groups, begin == 0)
    _unpack(sums, gw, groups, best.lanes(item))


def plan(x, gy, gw, stride, padding, groups):
    """The (shape, dtype) of panels (or frames) of x, panels of gy, and the sums for gw.

    The first two hold a chunk of images: (images, tiles or 1, height, width, channels) and (images, numbers)."""
    item, (K, C, R, S), (N, _, H, W), (_, _, P, Q) = x.itemsize, gw.shape, x.shape, gy.shape
    columns = isa.chosen().padded(K // groups, item)
    height, width = needed_size(gy, gw, stride)
    if C >= _FEW:
        image = groups * -(-C // tile.height(C)), height, width, tile.height(C)
        part = height * width * tile.height(C)
    else:
        image = 1, height, width, x.shape[1]
        part = height * width * x.shape[1]
    gradient = groups * columns * P * Q
    panel = min(columns, isa.chosen().columns(item)) * P * Q
    images = max(1, min(N, _PANELS // (item * (part + panel)), _CHUNK // (item * (math.prod(image) + gradient))))
    needless = C < _FEW and padding == (0, 0) and height <= H and width <= W
    return (((0 if needless else images, *image), x.dtype), ((images, gradient), x.dtype),
            ((groups, R * S * C, columns), x.dtype))


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
    """gy (N, P, Q, K) as panels [group, panel][(n, p, q), k], 0 beyond the last k of a group and, unless y is None,
    where y is not positive."""
    N, P, Q, K = gy.shape
    filters, wide, pixels = K // groups, 2 * lanes, N * P * Q
    padded = (filters + lanes - 1) // lanes * lanes
    parts = (padded + wide - 1) // wide
    for row in prange(N * P):
        for part in range(groups * parts):
            group, column = part // parts, part % parts * wide
            width, valid = min(wide, padded - column), min(wide, filters - column)
            base, first = (group * padded + column) * pixels, group * filters + column
            for q in range(Q):
                at, pixel = base + (row * Q + q) * width, (row * Q + q) * K + first
                if y is None:
                    copy(run(panels, at, valid), run(gy, pixel, valid))
                else:
                    copy_where(run(panels, at, valid), run(gy, pixel, valid), run(y, pixel, valid))
                clear(run(panels, at + valid, width - valid))


def accumulate(a, b, sums, steps, length, taps, rows, places, step, depth, filters, groups, fresh):
    """sums[rows[tap] + r, k] = (unless fresh, itself +) the sum over places and d < depth of
    a[group, tile of r; taps[tap] + place + d*step + r] * b[group, place and d; k], for each r < length and each tap.

    a: ``steps`` = (distance of groups, of tiles); a distance of 0 between tiles: their rows lie side by side.
    b: panels of (places and d, filters).  sums: panels of (taps and rows, filters)."""
    best, item = isa.chosen(), a.itemsize
    _accumulate(a, b, sums, steps, length, taps, rows, places, step, depth, filters, groups, fresh,
                tile.height(length), best.lanes(item), tile.address("panel", item, 2), tile.address("panel", item, 1))


@jit
def _accumulate(a, b, sums, steps, length, taps, rows, places, step, depth, filters, groups, fresh, tall, lanes,
                wide_tile, narrow_tile):
    wide, tiles = 2 * lanes, (length + tall - 1) // tall
    padded = (filters + lanes - 1) // lanes * lanes
    parts, whole, pixels = (padded + wide - 1) // wide, rows.size * length, places.size * depth
    for task in prange(groups * parts * tiles * taps.size):
        rest, tap = task // taps.size, task % taps.size
        part, t = rest // tiles, rest % tiles
        group, column = part // parts, part % parts * wide
        width, begin = min(wide, padded - column), t * tall
        height = min(tall, length - begin)
        start = group * steps[0] + taps[tap] + (t * steps[1] if steps[1] else begin)
        panel = where(b, (group * padded + column) * pixels)
        zeros, result = np.zeros(wide, a.dtype), np.empty(tall * wide, a.dtype)
        lines = np.arange(places.size) * (depth * width)
        tile.call(wide_tile if width == wide else narrow_tile,
                  (height, where(a, start), where(places, 0), step, panel, where(lines, 0),
                   width, places.size, depth, where(zeros, 0), 0, where(result, 0), width))
        at = (group * padded + column) * whole + (rows[tap] + begin) * width
        target, new = run(sums, at, height * width), run(result, 0, height * width)
        if fresh:
            copy(target, new)
        else:
            add(target, new)


@jit
def _unpack(sums, gw, groups, lanes):
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
