"""Dropout on a GPU.  The random numbers are a function of the counter alone: bit for bit those of the reference."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "dropout.cu")
_THREADS = 256
_VECTOR = 16  # bytes that a thread loads or stores at once


def apply(x, y, *, p, seed, stream, step, first_sample):
    samples, count = x.shape[0], x.size // x.shape[0]
    whole = count % 4 == 0 and all(a.data.ptr % _VECTOR == 0 for a in (x, y))
    words = (np.uint32(word & 0xFFFFFFFF) for word in (seed, seed >> 32, stream, step, first_sample))
    _SOURCE.launch("apply", blocks(samples * -(-count // 4), _THREADS), _THREADS, x, y, np.int64(samples),
                   np.int64(count), np.uint64(round(p * 2 ** 32)), float(1 / (1 - p)), *words, whole, real=x.dtype)
