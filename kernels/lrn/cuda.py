"""Local response normalisation on a GPU: a thread per pixel walks along the channels."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "lrn.cu")
_THREADS = 128
IN_REGISTERS = 8  # a window of so many channels
_ENOUGH = 1 << 16  # threads: with fewer, the channels of a pixel are shared out
_LEAST = 16  # channels that are worth the SIZE - 1 others that a walk begins with


def forward(x, y, scale, *, size, alpha, beta, k):
    _launch("forward", (x, y, scale), size, beta, alpha / size, beta, k)


def backward(x, y, scale, gy, gx, *, size, alpha, beta, k):
    _launch("backward", (x, y, scale, gy, gx), size, beta, 2 * alpha * beta / size, beta)


def _launch(kernel, arrays, size, beta, *numbers):
    x = arrays[0]
    N, C, H, W = x.shape
    if size > IN_REGISTERS:
        _SOURCE.launch(f"{kernel}_any", blocks(x.size, _THREADS), _THREADS, *arrays, np.int64(x.size), C,
                       np.int64(H * W), size, *map(float, numbers), real=x.dtype, **power(beta))
        return
    walk = chunk(C, N * H * W)
    _SOURCE.launch(kernel, (blocks(N * H * W, _THREADS), blocks(C, walk)), _THREADS, *arrays, np.int64(N * H * W), C,
                   np.int64(H * W), walk, *map(float, numbers), real=x.dtype, SIZE=size, **power(beta))


def power(beta):
    """What the compiler is told of the exponent."""
    return {"THREE_QUARTERS": int(beta == 0.75)}


def chunk(C, threads):
    """Along how many channels a thread walks, if ``threads`` of them stand side by side.  It changes no number."""
    return blocks(C, min(blocks(C, _LEAST), blocks(_ENOUGH, threads)))
