"""Local response normalisation and max-pooling on a GPU, in one pass each way.

Where a window of either is too large for that, the two layers' own kernels run one after the other.
"""

import itertools
import math
from functools import cache

import numpy as np

from ..gpu import Source, blocks
from ..gpu.walks import IN_REGISTERS, chunk, constants
from ..lrn import cuda as lrn
from ..pool import cuda as pool

_SOURCE = Source(__file__, "lrn_max_pool.cu")
_THREADS, _MOST_THREADS, _WARP = 128, 512, 32
_GROUP = 4  # channels between two barriers, as in lrn/pixel.cuh


def forward(x, y, index, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    if not _fused(size, kernel_size):
        normalised, scale = scratch(*_images(x, 2))
        lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
        pool.max_forward(normalised, y, index, kernel_size=kernel_size, stride=stride, padding=padding)
        return
    N, C, H, W = x.shape
    P, Q = y.shape[2:]
    tile = _tile((P, Q), kernel_size, stride)
    area, tiles = math.prod(_pixels(tile, kernel_size, stride)), N * blocks(P, tile[0]) * blocks(Q, tile[1])
    walk = chunk(C, tiles * area)
    _SOURCE.launch("forward", (tiles, blocks(C, walk)), blocks(area, _WARP) * _WARP, x, y, index, C, H, W, P, Q,
                   *kernel_size, *stride, *padding, *tile, walk, alpha / size, float(beta), float(k), real=x.dtype,
                   shared=2 * _GROUP * area * x.itemsize, PLACE=index.dtype.name, **constants(size, beta))


def backward(x, index, gy, gx, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    if not _fused(size, kernel_size):
        normalised, scale, gradient = scratch(*_images(x, 3))
        lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
        pool.max_backward(gy, index, gradient, kernel_size=kernel_size, stride=stride, padding=padding)
        lrn.backward(x, normalised, scale, gradient, gx, size=size, alpha=alpha, beta=beta, k=k)
        return
    N, C, H, W = x.shape
    walk = chunk(C, N * H * W)
    _SOURCE.launch("backward", (blocks(N * H * W, _THREADS), blocks(C, walk)), _THREADS, x, index, gy, gx,
                   np.int64(N * H * W), C, H, W, *gy.shape[2:], *kernel_size, *stride, *padding, walk, alpha / size,
                   float(beta), float(k), 2 * alpha * beta / size, real=x.dtype, PLACE=index.dtype.name,
                   **constants(size, beta))


def _fused(size, kernel_size):
    return size <= IN_REGISTERS and math.prod(kernel_size) <= _MOST_THREADS


def _images(x, count):
    return [(x.shape, x.dtype)] * count


def _pixels(tile, kernel_size, stride):
    """How many rows and columns of pixels the windows of a tile of outputs cover: each pixel has a thread."""
    return tuple((n - 1) * step + kernel for n, step, kernel in zip(tile, stride, kernel_size, strict=True))


@cache
def _tile(output, kernel_size, stride):
    """The tile of outputs, of those that a block has threads for, for which least is read in all: by sectors of eight
    floats, and one more for a row that begins within one."""
    P, Q = (min(n, _MOST_THREADS) for n in output)

    def sectors(tile):
        rows, columns = _pixels(tile, kernel_size, stride)
        return blocks(output[0], tile[0]) * blocks(output[1], tile[1]) * rows * (blocks(columns, 8) + 1)

    return min((tile for tile in itertools.product(range(1, P + 1), range(1, Q + 1))
                if math.prod(_pixels(tile, kernel_size, stride)) <= _MOST_THREADS), key=sectors)
