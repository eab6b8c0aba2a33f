"""gx = gy w for many images: a product of two matrices, w block by block.

As it lies, w is in no order for a tile: the lines of a panel are a row apart, 36 KB in fc6, each on a page of its own,
and all in the same few sets of a cache.  So a task takes some columns of w and, of these, some rows at a time.  It
copies them as panels to where its core's second cache holds them, and multiplies all images with them.  The sums stay
there, too, until all rows have gone by.
"""

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from .. import isa, tile
from ..conv.packing import frame
from ..jit import jit, prange
from ..layout import LINE
from ..runs import clear, copy, run, where
from ..shapes import planned
from ..vectors import Code

_DEPTH, _WIDTH = 64, 2 << 10  # rows of a block, and their bytes at most
_SUMS = 256 << 10  # bytes of sums at most
_WIDTHS = 8, 16, 32  # numbers in a row of a panel, 2V, that are copied all at once


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


@intrinsic
def _copy_panel(typing_context, kind, source, pitch, rows, target, width):
    """So many rows of ``width`` numbers of a kind, one of _WIDTHS, ``pitch`` numbers apart: one after the other, from
    address to address.  A loop whose length the compiler does not know takes longer than memory.

    What is compiled is kept on disk, and serves processes with other tiles: so nothing here asks `isa.py`."""
    def generate(context, builder, signature, values):
        code = Code(builder, context.get_abi_sizeof(context.get_data_type(kind.dtype)), _WIDTHS[0])
        _, source, pitch, rows, target, width = values

        def row(state, size):
            for at in range(0, size, code.lanes):
                code.store(code.load(code.at(state[0], at)), code.at(state[1], at))
            return [code.at(state[0], pitch), code.at(state[1], size)]

        for size in _WIDTHS:
            with code.when([width], [size]):
                code.loop(rows, [code.numbers(source), code.numbers(target)],
                          lambda _, state, size=size: row(state, size))
        return context.get_dummy_value()

    return types.void(kind, *[types.int64] * 5), generate


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
                if valid == wide and wide in _WIDTHS:
                    _copy_panel(matrix.dtype, where(matrix, line), C, steps, where(panels, at), wide)
                else:
                    width = min(wide, padded - c)
                    for k in range(steps):
                        copy(run(panels, at + k * width, valid), run(matrix, line + k * C, valid))
                        clear(run(panels, at + k * width + valid, width - valid))
            for n in range(0, N, tall):
                y = where(sums, total + n * padded)
                init, init_step = (y, padded) if k0 else (where(nothing, 0), 0)
                tile.call(even_tile, (min(tall, N - n), padded // lanes, where(factors, n * pitch + k0), pitch,
                                      steps, where(panels, block), wide * steps, init, init_step, y, padded, 0))
        for n in range(N):
            copy(run(result, n * C + c0, here), run(sums, total + n * padded, here))
