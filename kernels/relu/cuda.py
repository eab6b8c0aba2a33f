"""The rectified linear unit on a GPU."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "relu.cu")
_THREADS, _EACH = 256, 4  # elements of each thread, as in threads.cuh


def forward(x, y):
    _SOURCE.launch("forward", blocks(x.size, _EACH * _THREADS), _THREADS, x, y, np.int64(x.size), real=x.dtype)


def backward(y, gy, gx):
    _SOURCE.launch("backward", blocks(y.size, _EACH * _THREADS), _THREADS, y, gy, gx, np.int64(y.size), real=y.dtype)
