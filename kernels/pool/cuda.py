"""Pooling on a GPU: a thread per output forward, per element of gx backward."""

import numpy as np

from ..gpu import Source, blocks

_MAX = Source(__file__, "max_pool.cu")
_AVERAGE = Source(__file__, "average_pool.cu")
_THREADS, _WARP = 256, 32


def max_forward(x, y, index, *, kernel_size, stride, padding):
    _launch(_MAX, "max_forward", (x, y, index), y, x, y, *kernel_size, *stride, *padding, **_place(index))


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    _launch(_MAX, "max_backward", (gy, index, gx), gx, gx, gy, *kernel_size, *stride, *padding, **_place(index))


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    lanes = _lanes(*kernel_size)
    _launch(_AVERAGE, "average_forward", (x, y), y, x, y, *kernel_size, *stride, *padding, count_include_pad, lanes,
            lanes=lanes)


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    _launch(_AVERAGE, "average_backward", (gy, gx), gx, gx, gy, *kernel_size, *stride, *padding, count_include_pad)


def adaptive_average_forward(x, y):
    lanes = _lanes(*(-(-size // outputs) for size, outputs in zip(x.shape[2:], y.shape[2:], strict=True)))
    _launch(_AVERAGE, "adaptive_average_forward", (x, y), y, x, y, lanes, lanes=lanes)


def adaptive_average_backward(gy, gx):
    _launch(_AVERAGE, "adaptive_average_backward", (gy, gx), gx, gx, gy)


def _launch(source, kernel, arrays, each, image, output, *options, lanes=1, **macros):
    """A thread (or ``lanes`` of them) for each element of ``each``."""
    source.launch(kernel, blocks(each.size * lanes, _THREADS), _THREADS, *arrays, np.int64(each.size),
                  *image.shape[2:], *output.shape[2:], *options, real=image.dtype, **macros)


def _place(index):
    return {"PLACE": index.dtype.name}


def _lanes(R, S):
    """How many threads share a window: by its shape alone, for that decides on the order of its sum."""
    return _WARP if R * S >= _WARP else 1
