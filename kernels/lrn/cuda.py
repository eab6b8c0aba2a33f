"""Local response normalisation on a GPU: a thread per pixel walks along the channels."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "lrn.cu")
_THREADS = 128
_IN_REGISTERS = 8  # a window of so many channels
_ENOUGH = 1 << 16  # threads: with fewer, the channels of a pixel are shared out
_LEAST = 16  # channels that are worth the SIZE - 1 others that a walk begins with


def forward(x, y, scale, *, size, alpha, beta, k):
    _launch("forward", (x, y, scale), size, alpha / size, beta, k)


def backward(x, y, scale, gy, gx, *, size, alpha, beta, k):
    _launch("backward", (x, y, scale, gy, gx), size, 2 * alpha * beta / size, beta)


def _launch(kernel, arrays, size, *numbers):
    x = arrays[0]
    N, C, H, W = x.shape
    if size > _IN_REGISTERS:
        _SOURCE.launch(f"{kernel}_any", blocks(x.size, _THREADS), _THREADS, *arrays, np.int64(x.size), C,
                       np.int64(H * W), size, *map(float, numbers), real=x.dtype)
        return
    chunks = min(blocks(C, _LEAST), blocks(_ENOUGH, N * H * W))
    chunk = blocks(C, chunks)
    _SOURCE.launch(kernel, (blocks(N * H * W, _THREADS), blocks(C, chunk)), _THREADS, *arrays, np.int64(N * H * W), C,
                   np.int64(H * W), chunk, *map(float, numbers), real=x.dtype, SIZE=size)
