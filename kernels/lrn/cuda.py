"""Local response normalisation on a GPU: a thread per pixel walks along the channels."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "lrn.cu")
_THREADS = 128
IN_REGISTERS = 8  # a window of so many channels
_ENOUGH = 1 << 16  # threads: with fewer, the channels of a pixel are shared out
_LEAST = 16  # channels that are worth the size - 1 others that a walk begins with
_MOST = 65535  # chunks: a grid is no taller


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


def chunk(C, threads):
    """Along how many channels a thread walks, if ``threads`` of them stand side by side.  It changes no number."""
    return blocks(C, min(blocks(C, _LEAST), blocks(_ENOUGH, threads), _MOST))


def constants(size, beta):
    """What the compiler is told of the norm."""
    return {"SIZE": size, "THREE_QUARTERS": int(beta == 0.75)}
