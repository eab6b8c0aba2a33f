"""The linear layer on the register tiles (``kernels/TILE.md``).

A batch is small and the weights are many (fc6 of AlexNet: 151 MB), so each pass reads or writes them at most once, as
they lie.  What is packed is x and gy (``packing.py``).

    forward           y' = w x'     a tile's rows: neurons, which read along their weights; its columns: images
    input gradient    gx = gy w     rows: images; columns: inputs (``across.py``)
    weight gradient   gw = gy' x    rows: neurons; columns: inputs, written to gw as they lie

``across.py`` serves the forward pass as well where many inputs are 0, with weights that are kept transposed.
"""

import numpy as np

from .. import isa, tile
from ..bias import sum_pixels
from ..jit import jit, prange
from ..runs import clear, copy, run, where
from ..shapes import planned
from . import across
from .packing import pack, pack_transposed

_DEPTH = 4096  # of a sum that a forward tile takes in one go: what it reads stays in a core's second cache
_FEW = 8  # images: more fill the lanes of a gather tile well enough


def forward(x, weight, bias, y, *, relu=False, kept=None, scratch):
    x, weight = _in_rows(x, scratch), _in_rows(weight, scratch)
    if kept is not None and across.pays(x, weight) and (turned := across.transposed(weight, kept)) is not None:
        across.forward(x, turned, y, scratch)
        _finish(y.T, bias, y, relu)
        return
    best, item = isa.chosen(), x.itemsize
    columns, sums = scratch(*_forward_plan(x.shape, weight.shape, x.dtype))
    if len(x) <= _FEW:
        tall = best.dot_rows(len(x))
        _forward_few(weight, x, sums, tall * -(-64 // tall), tall, best.lanes(item), tile.address("dot", item, len(x)))
    else:
        pack_transposed(x, None, columns, best.columns(item), sums.shape[1])
        block = best.rows * max(1, min(8, -(-len(weight) // (8 * best.rows))))  # neurons of a task
        _forward(weight, columns, sums, block, _DEPTH, best.rows, best.lanes(item), tile.address("gather", item))
    _finish(sums, bias, y, relu)


@planned
def _forward_plan(x_shape, weight_shape, dtype):
    """The (shape, dtype) of panels of x, and of y transposed."""
    images = isa.chosen().padded(x_shape[0], dtype.itemsize)
    return ((images * x_shape[1],), dtype), ((weight_shape[0], images), dtype)


def backward_input(gy, weight, gx, y=None, *, scratch):
    across.backward_input(gy, _in_rows(weight, scratch), gx, y, scratch)


def backward_weight(x, gy, gw, gb, y=None, *, scratch):
    columns, rows = scratch(*_weight_plan(x.shape, gy.shape, x.dtype))
    best, item = isa.chosen(), x.itemsize
    tall = tile.height(gy.shape[1])
    pack(x, None, columns, best.columns(item), best.padded(x.shape[1], item))
    pack(gy, y, rows, tall, -(-gy.shape[1] // tall) * tall)
    # A task's panels of x and a tile of gy stay in the caches.
    panels = max(1, min(32, (512 << 10) // (len(x) * best.bytes * best.vectors)))
    # What the caches hold no longer when it is used goes to memory straight away.
    streams = tile.may_stream(gw, gw.shape[1])
    _backward_weight(rows, columns, gw, len(x), panels, tall, best.lanes(item),
                     tile.address("panel", item, streams=streams))
    if gb is not None:
        pixel = len(gy), 1, 1, gy.shape[1]
        sum_pixels(gy.reshape(pixel), None if y is None else y.reshape(pixel), gb)


@planned
def _weight_plan(x_shape, gy_shape, dtype):
    """The (shape, dtype) of x in panels and gy in tiles of neurons."""
    (N, C), K = x_shape, gy_shape[1]
    tall = tile.height(K)
    return ((isa.chosen().padded(C, dtype.itemsize) * N,), dtype), ((-(-K // tall) * tall * N,), dtype)


def _in_rows(matrix, scratch):
    """The matrix, or a copy, that lies row by row."""
    if matrix.flags.c_contiguous:
        return matrix
    copied, = scratch((matrix.shape, matrix.dtype))
    np.copyto(copied, matrix)
    return copied


@jit
def _forward(weight, columns, sums, block, depth, tall, lanes, gather_tile):
    """sums[k, n] = the sum over c of weight[k, c] x[n, c]."""
    K, C = weight.shape
    padded, wide = sums.shape[1], 2 * lanes
    for task in prange((K + block - 1) // block):
        begin, end = task * block, min((task + 1) * block, K)
        places, targets = np.empty(tall, np.int64), np.empty(tall, np.int64)
        zero, zeros = np.zeros(1, np.int64), np.zeros(tall, np.int64)
        nothing = np.zeros(wide, weight.dtype)
        for c0 in range(0, C, depth):
            steps = min(depth, C - c0)
            for first in range(0, padded, wide):
                width = min(wide, padded - first)
                panel = where(columns, first * C + c0 * width)
                for k0 in range(begin, end, tall):
                    rows = min(tall, end - k0)
                    for r in range(rows):
                        places[r], targets[r] = (k0 + r) * C + c0, (k0 + r) * padded + first
                    init, init_rows = where(sums, 0), where(targets, 0)
                    if c0 == 0:
                        init, init_rows = where(nothing, 0), where(zeros, 0)
                    tile.call(gather_tile, (rows, width // lanes, where(weight, 0), where(places, 0), where(zero, 0),
                                            0, 1, steps, panel, 0, init, init_rows, where(sums, 0),
                                            where(targets, 0), 0))


@jit
def _forward_few(weight, x, sums, block, tall, lanes, dot_tile):
    """The same for few images, by dot products: the weights go by once, in long runs of ``tall`` rows."""
    K, C = weight.shape
    N, pitch, vectors = len(x), sums.shape[1], C // lanes
    for task in prange((K + block - 1) // block):
        begin, end = task * block, min((task + 1) * block, K)
        clear(run(sums, begin * pitch, (end - begin) * pitch))
        for k in range(begin, end, tall):
            tile.call(dot_tile, (min(tall, end - k), where(weight, k * C), C, where(x, 0), C, vectors,
                                 where(sums, k * pitch), pitch))
        for k in range(begin, end):
            for n in range(N):
                for c in range(vectors * lanes, C):
                    sums[k, n] += weight[k, c] * x[n, c]


@jit
def _finish(sums, bias, y, relu):
    """y[n, k] = sums[k, n] + bias[k], and with ``relu`` 0 where that is negative.  The sums may be y itself."""
    N, K = y.shape
    chunk = 16
    for part in prange((K + chunk - 1) // chunk):
        for n in range(N):
            for k in range(part * chunk, min((part + 1) * chunk, K)):
                value = sums[k, n] if bias is None else sums[k, n] + bias[k]
                y[n, k] = 0 if relu and value < 0 else value


@jit
def _backward_weight(rows, columns, gw, N, panels, tall, lanes, panel_tile):
    """gw[k, c] = the sum over n of gy[n, k] x[n, c]."""
    K, C = gw.shape
    wide = 2 * lanes
    padded = (C + lanes - 1) // lanes * lanes
    parts, tiles, few = (padded + wide - 1) // wide, (K + tall - 1) // tall, 8
    blocks, heaps = (parts + panels - 1) // panels, (tiles + few - 1) // few
    for task in prange(blocks * heaps):
        block, heap = task // heaps, task % heaps
        zero, nothing, spare = np.zeros(1, np.int64), np.zeros(wide, gw.dtype), np.empty(tall * wide, gw.dtype)
        for t in range(heap * few, min((heap + 1) * few, tiles)):
            k = t * tall
            height = min(tall, K - k)
            for part in range(block * panels, min((block + 1) * panels, parts)):
                first = part * wide
                width, valid = min(wide, padded - first), min(wide, C - first)
                y, y_step = where(gw, k * C + first), C
                if valid < width:
                    y, y_step = where(spare, 0), width
                tile.call(panel_tile, (height, width // lanes, where(rows, k * N), where(zero, 0), tall,
                                       where(columns, first * N), where(zero, 0), width, 1, N, where(nothing, 0), 0, y,
                                       y_step))
                if valid < width:
                    for r in range(height):
                        copy(run(gw, (k + r) * C + first, valid), run(spare, r * width, valid))
