"""Pooling on a GPU: a thread per output forward, per element of gx backward, in strips (``gpu/strips.py``)."""

import numpy as np

from ..gpu import Source, blocks
from ..gpu.strips import THREADS, Over, Part, Under, strip

_MAX = Source(__file__, "max_pool.cu")
_AVERAGE = Source(__file__, "average_pool.cu")
_WARP = 32


def max_forward(x, y, index, *, kernel_size, stride, padding):
    _launch(_MAX, "max_forward", (x,), (y, index), Under(kernel_size[0], stride[0], padding[0]), *x.shape[2:],
            *y.shape[2:], *kernel_size, *stride, *padding, **_place(index))


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    _launch(_MAX, "max_backward", (gy, index), (gx,), Over(kernel_size[0], stride[0], padding[0]), *gx.shape[2:],
            *gy.shape[2:], *kernel_size, *stride, *padding, **_place(index))


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    lanes = _lanes(*kernel_size)
    _launch(_AVERAGE, "average_forward", (x,), (y,), Under(kernel_size[0], stride[0], padding[0]), *x.shape[2:],
            *y.shape[2:], *kernel_size, *stride, *padding, count_include_pad, lanes, lanes=lanes)


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    _launch(_AVERAGE, "average_backward", (gy,), (gx,), Over(kernel_size[0], stride[0], padding[0]), *gx.shape[2:],
            *gy.shape[2:], *kernel_size, *stride, *padding, count_include_pad)


def adaptive_average_forward(x, y):
    lanes = _lanes(*(-(-size // outputs) for size, outputs in zip(x.shape[2:], y.shape[2:], strict=True)))
    _launch(_AVERAGE, "adaptive_average_forward", (x,), (y,), Part(), *x.shape[2:], *y.shape[2:], lanes, lanes=lanes)


def adaptive_average_backward(gy, gx):
    _launch(_AVERAGE, "adaptive_average_backward", (gy,), (gx,), Part(), *gx.shape[2:], *gy.shape[2:])


def _launch(source, kernel, inputs, outputs, cover, *options, lanes=1, **macros):
    """``lanes`` threads for each element of the outputs; ``cover`` tells which rows of the inputs a row of them is made
    from."""
    result, origin = outputs[0], inputs[0]
    nbytes = sum(each.itemsize for each in inputs)
    cut = strip(result.shape[2:], origin.shape[2:], cover, nbytes, lanes)
    source.launch(kernel, blocks(result.size, cut.per_block), THREADS, *inputs, *outputs, np.int64(result.size),
                  cut.per_block, *options, real=origin.dtype, shared=cut.pixels * nbytes, STAGED=int(cut.pixels > 0),
                  **macros)


def _place(index):
    return {"PLACE": index.dtype.name}


def _lanes(R, S):
    """How many threads share a window: by its shape alone, for that decides on the order of its sum."""
    return _WARP if R * S >= _WARP else 1
