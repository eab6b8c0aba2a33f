"""gx = gy w for more than a few images: a product of two matrices, w block by block.

In step k a sum tile takes 2V columns of row k of w, where they lie.  The rows are far apart, 36 KB in fc6, each on a
page of its own, and all in the same few sets of the first cache.  But the second cache has room for them, and there
the tile asks for its next columns while it multiplies these (``kernels/TILE.md``).  So a task takes some columns of w
and, of these, as many rows at a time as a processor remembers pages; all images are multiplied with them.  The sums
stay in its core's second cache until all rows have gone by.  Each block is summed from zero, and the blocks are added
up: shorter sums round better than one long one.
"""

import numba

from .. import isa, tile
from ..conv.packing import frame
from ..conv.sums import add_product
from ..jit import jit, prange
from ..layout import LINE
from ..runs import clear, copy, run, where
from ..shapes import planned
from ..transpose import transpose_all

_DEPTH, _WIDTH = 64, 2 << 10  # rows of a block, and their bytes at most
_FEW = 24  # images at most for which half as many rows are quicker, unless a vector is a whole line
_SUMS = 256 << 10  # bytes of sums at most


def backward_input(gy, weight, gx, y, scratch):
    best, item = isa.chosen(), gy.itemsize
    masked, factors, sums = scratch(*_plan(gy.shape, weight.shape[1], gy.dtype, numba.get_num_threads()))
    if y is not None:
        frame(_image(gy), _image(y), _image(masked), 0, 0)
        gy = masked
    transpose_all(gy[None], factors[None])
    depth = _DEPTH // 2 if len(gy) <= _FEW and not best.fills_lines else _DEPTH
    _multiply(factors, weight, gx, sums, depth, tile.height(len(gy)), best.lanes(item), tile.address("sum", item))


@planned
def _plan(gy_shape, C, dtype, threads):
    """The (shape, dtype) of gy where y is positive, of the same transposed, and of each thread's sums."""
    (N, K), wide = gy_shape, isa.chosen().columns(dtype.itemsize)
    most = max(wide, min(_WIDTH, _SUMS // N) // dtype.itemsize)
    tasks = -(-C // (most * threads)) * threads
    width = -(-C // (tasks * wide)) * wide
    return ((N, K), dtype), ((K, N), dtype), ((threads, N, width + LINE), dtype)


def _image(matrix):
    """As a matrix is to what copies images: its numbers are pixels of one channel."""
    return matrix[None, :, :, None]


@jit
def _multiply(factors, matrix, result, sums, depth, tall, lanes, sum_tile):
    """result[n, c] = the sum over k of factors[k, n] matrix[k, c]."""
    (N, C), K, pitch = result.shape, len(matrix), sums.shape[2]
    columns, padded = pitch - LINE, (C + lanes - 1) // lanes * lanes
    whole = max(0, K - (padded - 1) // C)  # rows whose last vector does not reach past the end of the matrix
    for task in prange((C + columns - 1) // columns):
        c0, total = task * columns, numba.get_thread_id() * N * pitch
        here = min(columns, C - c0)
        for n in range(N):
            line = run(sums, total + n * pitch, here)
            clear(line)
            for k in range(whole, K):
                for c in range(here):
                    line[c] += factors[k, n] * matrix[k, c0 + c]
        for k in range(0, whole, depth):
            add_product(where(factors, k * N), N, where(matrix, k * C + c0), C, min(depth, whole - k), sums, total,
                        pitch, N, here, False, tall, lanes, sum_tile)
        for n in range(N):
            copy(run(result, n * C + c0, here), run(sums, total + n * pitch, here))
