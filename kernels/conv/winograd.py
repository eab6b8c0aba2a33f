"""Winograd's convolution: fewer multiplications for 3x3 and 5x5 filters of stride 1.  The matrices: ``transforms.py``.

For each of the 36 places of a transformed tile there is a product of matrices over (tiles, channels, filters), on the
same register tiles as everything else: 36/16 multiplications for a pixel of y and a weight's 9 (36/4 for its 25) make
4 and 2.8 times fewer, less what the tiles reach past the edge.  The price is rounding (the README has the bounds) and
memory: so it is done for some images at a time, and only for shapes where ``choice.py`` says that it pays.

The input gradient is the same convolution with the taps backwards and channels and filters exchanged.
"""

import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..layout import channels_last
from ..runs import add, clear, clip, copy, copy_where, run
from ..scratch import deal
from .gradient import accumulate
from .rows import Grid, product
from .transforms import CHUNK, a_both, a_transposed_both, b_both

_SPECTRA = 16 << 20  # bytes of transformed tiles at a time

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)


def _g_matrix(taps):
    """G (6, taps) of Lavin and Gray: row i holds the powers of point i over the product of its differences to the
    others; the last stands for infinity."""
    rows = []
    for i, p in enumerate(_POINTS):
        rest = np.prod([p - q for j, q in enumerate(_POINTS) if j != i])
        rows.append([p ** k / rest for k in range(taps)])
    return np.array([*rows, [0.0] * (taps - 1) + [1.0]])


def pixels(taps):
    """m: the pixels that a tile makes, in each direction."""
    return 7 - taps


def forward(x, weight, bias, y, padding, groups, relu, scratch):
    K, C, R, _ = weight.shape
    bias = None if bias is None else np.ascontiguousarray(bias)
    _convolve(channels_last(x), None, weight, bias, channels_last(y), padding, groups, relu, False,
              deal(scratch, *forward_plan(x, weight, y, groups)))


def forward_plan(x, weight, y, groups):
    K, C, R, _ = weight.shape
    return _plan(x.shape[0], y.shape[2:], C, K // groups, R, groups, x.dtype)


def backward_input(gy, weight, gx, y, padding, groups, scratch):
    R = weight.shape[2]
    _convolve(channels_last(gy), None if y is None else channels_last(y), weight, None, channels_last(gx),
              (R - 1 - padding[0], R - 1 - padding[1]), groups, False, True,
              deal(scratch, *backward_plan(gy, weight, gx, groups)))


def backward_plan(gy, weight, gx, groups):
    K, C, R, _ = weight.shape
    return _plan(gy.shape[0], gx.shape[2:], K // groups, C, R, groups, gy.dtype)


def _tiles(size, taps):
    """Tiles down and right that cover ``size`` pixels of the result."""
    m = pixels(taps)
    return -(-size[0] // m), -(-size[1] // m)


def _plan(N, size, channels, columns, taps, groups, dtype):
    """The (shape, dtype) of transformed weights, source tiles and result tiles (of a chunk of images)."""
    item = np.dtype(dtype).itemsize
    down, right = _tiles(size, taps)
    columns = isa.chosen().padded(columns, item)
    images = max(1, min(N, _SPECTRA // (36 * down * right * groups * (channels + columns) * item)))
    tiles = _pitch(images * down * right)
    return (((36 * groups, channels, columns), dtype), ((36 * groups, tiles, channels), dtype),
            ((36 * groups, tiles, columns), dtype))


def _pitch(tiles):
    """Room for so many tiles between two of the 36 places: an odd number, lest the 36 runs of a tile, which are
    written and read together, all fall into the same few sets of the caches."""
    return tiles | 1


def _convolve(source, y, weight, bias, result, padding, groups, relu, backwards, arrays):
    spectrum, tiles_in, tiles_out = arrays
    taps = weight.shape[2]
    m, (down, right) = pixels(taps), _tiles(result.shape[1:3], taps)
    channels, columns = tiles_in.shape[2], tiles_out.shape[2]
    _transform_weights(weight, _g_matrix(taps).astype(source.dtype), spectrum, groups,
                       isa.chosen().lanes(source.itemsize), backwards)
    images = tiles_in.shape[1] // (down * right)
    zeros = np.zeros((36 * groups, columns), source.dtype)
    for begin in range(0, len(source), images):
        some = slice(begin, min(begin + images, len(source)))
        count = (some.stop - begin) * down * right
        v, u = (a.reshape(-1)[:36 * groups * _pitch(count) * a.shape[2]] for a in (tiles_in, tiles_out))
        _transform_pixels(source[some], None if y is None else y[some], v, groups, padding, (down, right), m, channels,
                          channels, _pitch(count))
        product(v, spectrum, zeros, u, rows=(1, 1, count), source_grid=Grid(0, 0, channels, 0),
                result_grid=Grid(0, 0, columns, 0), group_steps=(_pitch(count) * channels, _pitch(count) * columns),
                groups=36 * groups, columns=columns, tap=np.zeros(1, np.int64), depth=channels, relu=False)
        _transform_results(u, bias, result[some], groups, (down, right), m, columns, _pitch(count), relu)


def backward_weight(x, gy, gw, y, padding, groups, scratch):
    v, u, sums = deal(scratch, *gradient_plan(x, gy, gw, groups))
    xs, gys, ys = channels_last(x), channels_last(gy), None if y is None else channels_last(y)
    K, C, taps, _ = gw.shape
    m, (down, right), lanes = pixels(taps), _tiles(gys.shape[1:3], taps), isa.chosen().lanes(x.itemsize)
    tall, columns, images = tile.height(C), sums.shape[2], v.shape[1] // (down * right)
    once = np.zeros(1, np.int64)
    for begin in range(0, len(xs), images):
        some = slice(begin, min(begin + images, len(xs)))
        count = (some.stop - begin) * down * right
        pitch = _pitch(count)
        a, b = (array.reshape(-1)[:36 * groups * pitch * array.shape[2]] for array in (v, u))
        _transform_pixels(xs[some], None, a, groups, padding, (down, right), m, v.shape[2], tall, pitch)
        _transform_gradients(gys[some], None if ys is None else ys[some], b, groups, (down, right), m, columns,
                             2 * lanes, pitch)
        accumulate(a, b, pitch, sums.reshape(-1), (pitch * v.shape[2], pitch * tall), C, once, once, once, tall, count,
                   K // groups, 36 * groups, begin == 0)
    _transform_sums(sums, _g_matrix(taps).astype(x.dtype), gw, groups, lanes)


def gradient_plan(x, gy, gw, groups):
    """The (shape, dtype) of transformed tiles of x and of gy (of a chunk of images), and of the sums."""
    K, C, taps, _ = gw.shape
    down, right = _tiles(gy.shape[2:], taps)
    columns, tall = isa.chosen().padded(K // groups, x.itemsize), tile.height(C)
    channels = -(-C // tall) * tall
    images = max(1, min(x.shape[0], 2 * _SPECTRA // (36 * down * right * groups * (channels + columns) * x.itemsize)))
    tiles = _pitch(images * down * right)
    return (((36 * groups, tiles, channels), x.dtype), ((36 * groups, tiles, columns), x.dtype),
            ((36 * groups, C, columns), x.dtype))


@jit
def _transform_weights(weight, g, spectrum, groups, lanes, backwards):
    """The panels of G w G': spectrum[place, group, panel][c, k], or with ``backwards`` [k, c] of the taps reversed."""
    K, C, R, _ = weight.shape
    filters = K // groups
    depth, padded, wide = spectrum.shape[1], spectrum.shape[2], 2 * lanes
    columns = C if backwards else filters
    panels = (padded + wide - 1) // wide
    for task in prange(groups * panels * depth):
        group, rest = task // (panels * depth), task % (panels * depth)
        panel, row = rest // depth, rest % depth
        width = min(wide, padded - panel * wide)
        taps, half, full = (np.zeros((R * R, wide), weight.dtype), np.zeros((6 * R, wide), weight.dtype),
                            np.zeros(wide, weight.dtype))
        for i in range(min(width, columns - panel * wide)):
            column = panel * wide + i
            k, c = (row, column) if backwards else (column, row)
            for r in range(R):
                for s in range(R):
                    at = (R - 1 - r) * R + R - 1 - s if backwards else r * R + s
                    taps[at, i] = weight[group * filters + k, c, r, s]
        for a in range(6):
            for s in range(R):
                for r in range(R):
                    for i in range(wide):
                        half[a * R + s, i] += g[a, r] * taps[r * R + s, i]
        for a in range(6):
            for b in range(6):
                full[:] = 0
                for s in range(R):
                    for i in range(wide):
                        full[i] += g[b, s] * half[a * R + s, i]
                at = (((a * 6 + b) * groups + group) * padded + panel * wide) * depth + row * width
                copy(run(spectrum, at, width), run(full, 0, width))


@inline
def _load(source, y, patch, n, top, left, size, c0, count):
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
            elif y is None:
                copy(target, run(source, at, count))
            else:
                copy_where(target, run(source, at, count), run(y, at, count))


@jit
def _transform_pixels(source, y, v, groups, padding, tiles, m, padded, wide, pitch):
    """B' x B of every tile of 6 x 6 pixels, m apart.

    v: panels [place, group, panel][tile, c], ``wide`` channels each, ``padded`` channels in a group's panels."""
    N, channels = source.shape[0], source.shape[3]
    down, right = tiles
    per_group = channels // groups
    for line in prange(N * down):
        n, top = line // down, line % down * m - padding[0]
        patch, spare, full = (np.zeros(36 * CHUNK, v.dtype), np.empty(36 * CHUNK, v.dtype),
                              np.empty(36 * CHUNK, v.dtype))
        for across in range(right):
            for group in range(groups):
                for c0 in range(0, per_group, CHUNK):
                    size = min(CHUNK, per_group - c0)
                    _load(source, y, patch, n, top, across * m - padding[1], 6, group * per_group + c0, size)
                    b_both(patch, full, spare)
                    _store(full, v, group, groups, padded, wide, line * right + across, pitch, c0, size)


@jit
def _transform_gradients(gy, y, v, groups, tiles, m, padded, wide, pitch):
    """A gy A' of every m x m pixels, into panels as above."""
    N, channels = gy.shape[0], gy.shape[3]
    down, right = tiles
    per_group = channels // groups
    for line in prange(N * down):
        n, top = line // down, line % down * m
        patch, spare, full = (np.zeros(36 * CHUNK, v.dtype), np.empty(36 * CHUNK, v.dtype),
                              np.empty(36 * CHUNK, v.dtype))
        for across in range(right):
            for group in range(groups):
                for c0 in range(0, per_group, CHUNK):
                    size = min(CHUNK, per_group - c0)
                    _load(gy, y, patch, n, top, across * m, m, group * per_group + c0, size)
                    a_both(m, patch, full, spare)
                    _store(full, v, group, groups, padded, wide, line * right + across, pitch, c0, size)


@inline
def _store(full, v, group, groups, padded, wide, t, pitch, c0, size):
    """The 36 runs of tile t to their places, across panels."""
    for place in range(36):
        base, c = (place * groups + group) * padded * pitch, c0
        while c < c0 + size:
            first = c // wide * wide  # of this panel
            width = min(wide, padded - first)
            part = min(first + width, c0 + size) - c
            copy(run(v, base + first * pitch + t * width + c - first, part), run(full, place * CHUNK + c - c0, part))
            c += part


@jit
def _transform_results(u, bias, result, groups, tiles, m, padded, pitch, relu):
    """result = A' u A + bias, and with ``relu`` 0 where that is negative."""
    N, P, Q, K = result.shape
    down, right = tiles
    per_group = K // groups
    for line in prange(N * down):
        n, top = line // down, line % down * m
        full, spare, y = (np.zeros(36 * CHUNK, u.dtype), np.empty(36 * CHUNK, u.dtype), np.empty(36 * CHUNK, u.dtype))
        for across in range(right):
            left = across * m
            for group in range(groups):
                for c0 in range(0, per_group, CHUNK):
                    size, first = min(CHUNK, per_group - c0), group * per_group + c0
                    for place in range(36):
                        at = ((place * groups + group) * pitch + line * right + across) * padded + c0
                        copy(run(full, place * CHUNK, size), run(u, at, size))
                    a_transposed_both(m, full, y, spare)
                    for i in range(min(m, P - top)):
                        for j in range(min(m, Q - left)):
                            target = run(result, ((n * P + top + i) * Q + left + j) * K + first, size)
                            copy(target, run(y, (6 * i + j) * CHUNK, size))
                            if bias is not None:
                                add(target, run(bias, first, size))
                            if relu:
                                clip(target)


@jit
def _transform_sums(sums, g, gw, groups, lanes):
    """gw[k, c] = G' sums[:, c, k] G."""
    K, C, R, _ = gw.shape
    filters, padded, wide = K // groups, sums.shape[2], 2 * lanes
    parts = (padded + wide - 1) // wide
    flat = sums.reshape(-1)
    for task in prange(groups * parts * C):
        group, rest = task // (parts * C), task % (parts * C)
        first, c = rest // C * wide, rest % C
        width = min(wide, padded - first)
        half, full = np.zeros((R * 6, wide), gw.dtype), np.zeros((R * R, wide), gw.dtype)
        for a in range(6):
            for b in range(6):
                at = (((a * 6 + b) * groups + group) * padded + first) * C + c * width
                for r in range(R):
                    for i in range(width):
                        half[r * 6 + b, i] += g[a, r] * flat[at + i]
        for r in range(R):
            for b in range(6):
                for s in range(R):
                    for i in range(width):
                        full[r * R + s, i] += g[b, s] * half[r * 6 + b, i]
        for i in range(min(width, filters - first)):
            for r in range(R):
                for s in range(R):
                    gw[group * filters + first + i, c, r, s] = full[r * R + s, i]
