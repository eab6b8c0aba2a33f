"""The linear layer on the register tiles (``kernels/TILE.md``).

A batch is small and the weights are many (fc6 of AlexNet: 151 MB), so each pass reads or writes them at most once.

    forward           y' = w x'     a tile's rows: neurons, which read along their weights; its columns: images
    input gradient    gx = gy w     rows: images; columns: inputs (``across.py`` for few images, ``blocks.py`` for more)
    weight gradient   gw = gy' x    rows: neurons; columns: inputs (as that of a 1x1 convolution)

``across.py`` serves the forward pass as well where many inputs are 0, with weights that are kept transposed.
"""

import numpy as np

from .. import isa, tile
from ..conv import cpu as conv
from ..conv.packing import one_phase, pack
from ..jit import jit, prange
from ..runs import clear, run, where
from ..shapes import planned
from . import across, blocks

_DEPTH = 4096  # of a sum that a forward tile takes in one go: what it reads stays in a core's second cache


def forward(x, weight, bias, y, *, relu=False, kept=None, scratch):
    x, weight = _in_rows(x, scratch), _in_rows(weight, scratch)
    if kept is not None and across.pays(x, weight) and (turned := across.transposed(weight, kept)) is not None:
        across.forward(x, turned, y, scratch)
        _finish(y.T, bias, y, relu)
        return
    best, item = isa.chosen(), x.itemsize
    columns, sums = scratch(*_forward_plan(x.shape, weight.shape, x.dtype))
    if across.few(len(x)):
        tall = best.dot_rows(len(x))
        _forward_few(weight, x, sums, tall * -(-64 // tall), tall, best.lanes(item), tile.address("dot", item, len(x)))
    else:
        pack(x[:, :, None, None], columns, 1, best.lanes(item), one_phase(1, x.shape[1], False), False)
        tall = tile.rows_apart(x.shape[1], item)
        block = tall * max(1, min(8, -(-len(weight) // (8 * tall))))  # neurons of a task
        _forward(weight, columns, sums, block, _DEPTH, tall, best.lanes(item), tile.address("gather", item))
    _finish(sums, bias, y, relu)


@planned
def _forward_plan(x_shape, weight_shape, dtype):
    """The (shape, dtype) of panels of x, and of y transposed."""
    images = isa.chosen().padded(x_shape[0], dtype.itemsize)
    return ((1, x_shape[1], images), dtype), ((weight_shape[0], images), dtype)


def backward_input(gy, weight, gx, y=None, *, scratch):
    gy, weight = _in_rows(gy, scratch), _in_rows(weight, scratch)
    y = None if y is None else _in_rows(y, scratch)
    (across if across.serves(len(gx)) else blocks).backward_input(gy, weight, gx, y, scratch)


def backward_weight(x, gy, gw, gb, y=None, *, scratch):
    """That of a 1x1 convolution whose images are single pixels."""
    x, gy, gw, y = (None if matrix is None else matrix[:, :, None, None] for matrix in (x, gy, gw, y))
    conv.backward_weight(x, gy, gw, gb, y, stride=(1, 1), padding=(0, 0), groups=1, scratch=scratch)


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
        rows, targets, zero = np.arange(tall) * C, np.arange(tall) * padded, np.zeros(1, np.int64)
        clear(run(sums, begin * padded, (end - begin) * padded))
        for c0 in range(0, C, depth):
            for first in range(0, padded, wide):
                width = min(wide, padded - first)
                for k in range(begin, end, tall):
                    y = where(sums, k * padded + first)
                    tile.call(gather_tile, (min(tall, end - k), width // lanes, where(weight, k * C + c0),
                                            where(rows, 0), where(zero, 0), 0, 1, min(depth, C - c0),
                                            where(columns, first * C + c0 * width), 0, y, where(targets, 0), y,
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
