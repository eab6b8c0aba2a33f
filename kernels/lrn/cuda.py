"""Local response normalisation on a GPU: a thread per pixel walks along the channels."""

import numpy as np

from ..gpu import Source, blocks
from ..gpu.walks import IN_REGISTERS, chunk, constants

_SOURCE = Source(__file__, "lrn.cu")
_THREADS = 128


def forward(x, y, scale, *, size, alpha, beta, k):
    _launch("forward", (x, y, scale), size, beta, alpha / size, beta, k)


def backward(x, y, scale, gy, gx, *, size, alpha, beta, k):
    _launch("backward", (x, y, scale, gy, gx), size, beta, 2 * alpha * beta / size, beta)


def _launch(kernel, arrays, size, beta, *numbers):
    N, C, H, W = arrays[0].shape
    pixels, dtype, numbers = N * H * W, arrays[0].dtype, [float(number) for number in numbers]
    if size > IN_REGISTERS:
        elements = pixels * C
        _SOURCE.launch(f"{kernel}_any", blocks(elements, _THREADS), _THREADS, *arrays, np.int64(elements), C,
                       np.int64(H * W), size, *numbers, real=dtype, **constants(1, beta))
    else:
        walk = chunk(C, pixels)
        _SOURCE.launch(kernel, (blocks(pixels, _THREADS), blocks(C, walk)), _THREADS, *arrays, np.int64(pixels), C,
                       np.int64(H * W), walk, *numbers, real=dtype, **constants(size, beta))
