"""gx = gy w for many images: a product of two matrices, w block by block.

As it lies, w is in no order for a tile: the lines of a panel are a row apart, 36 KB in fc6, each on a page of its own,
and all in the same few sets of a cache.  So a task takes some columns of w and, of these, some rows at a time.  It
copies them as panels to where its core's second cache holds them, and multiplies all images with them.  The sums stay
there, too, until all rows have gone by.
"""

import numba
import numpy as np

from .. import isa, tile
from ..conv.packing import frame
from ..jit import inline, jit, prange
from ..layout import LINE
from ..runs import copy, run, where
from ..shapes import planned

_DEPTH, _WIDTH = 64, 2 << 10  # rows of a block, and their bytes at most
_SUMS = 256 << 10  # bytes of sums at most


def backward_input(gy, weight, gx, y, scratch):
    best, item = isa.chosen(), gy.itemsize
    factors, panels, sums = scratch(*_plan(gy.shape, weight.shape[1], gy.dtype, numba.get_num_threads()))
    frame(_image(gy), None if y is None else _image(y), _image(factors), 0, 0)
    _multiply(factors, weight, gx, panels, sums, _DEPTH, tile.height(len(gy)), best.lanes(item),
              tile.address("even", item))


@planned
def _plan(gy_shape, C, dtype, threads):
    """The (shape, dtype) of gy with padded rows, and of each thread's block of w and its sums."""
    (N, K), wide = gy_shape, isa.chosen().columns(dtype.itemsize)
    most = max(wide, min(_WIDTH, _SUMS // N) // dtype.itemsize)
    tasks = -(-C // (most * threads)) * threads
    width = -(-C // (tasks * wide)) * wide
    return ((N, K + LINE), dtype), ((threads, _DEPTH * width), dtype), ((threads, N * width), dtype)


def _image(matrix):
    """As a matrix is to what copies images: its numbers are pixels of one channel."""
    return matrix[None, :, :, None]


@inline
def _copy_panel(source, line, pitch, valid, panels, at, rows, width):
    """So many rows of the source, ``valid`` numbers each, to a panel.  What is behind them there makes numbers of the
    sums that nobody reads."""
    for k in range(rows):
        if valid == 32:
            copy(run(panels, at + k * 32, 32), run(source, line + k * pitch, 32))
        elif valid == 16 == width:
            copy(run(panels, at + k * 16, 16), run(source, line + k * pitch, 16))
        elif valid == 8 == width:
            copy(run(panels, at + k * 8, 8), run(source, line + k * pitch, 8))
        else:  # a loop whose length the compiler does not know takes longer than memory
            copy(run(panels, at + k * width, valid), run(source, line + k * pitch, valid))


@jit
def _multiply(factors, matrix, result, panels, sums, depth, tall, lanes, even_tile):
    """result[n, c] = the sum over k of factors[n, k] matrix[k, c]."""
    N, C = result.shape
    K, pitch, wide, columns = len(matrix), factors.shape[1], 2 * lanes, panels.shape[1] // depth
    for task in prange((C + columns - 1) // columns):
        c0, slot = task * columns, numba.get_thread_id()
        block, total, here = slot * panels.shape[1], slot * sums.shape[1], min(columns, C - c0)
        padded = (here + lanes - 1) // lanes * lanes
        nothing = np.zeros(padded, result.dtype)
        for k0 in range(0, K, depth):
            steps = min(depth, K - k0)
            for c in range(0, here, wide):
                line, at, valid = k0 * C + c0 + c, block + c * steps, min(wide, here - c)
                _copy_panel(matrix, line, C, valid, panels, at, steps, min(wide, padded - c))
            for n in range(0, N, tall):
                y = where(sums, total + n * padded)
                init, init_step = (y, padded) if k0 else (where(nothing, 0), 0)
                tile.call(even_tile, (min(tall, N - n), padded // lanes, where(factors, n * pitch + k0), pitch,
                                      steps, where(panels, block), wide * steps, init, init_step, y, padded, 0))
        for n in range(N):
            copy(run(result, n * C + c0, here), run(sums, total + n * padded, here))
