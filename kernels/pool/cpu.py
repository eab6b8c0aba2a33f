"""Pooling on all cores: pixels are vectors of C channels, so every inner loop runs over channels with stride 1.

Forward, each thread makes rows of the output.  Backward, each thread makes rows of the *input* gradient, and looks up
which windows reach into its row: two threads never write to one place, and each sum has a fixed order.
"""

from .. import tile
from ..jit import jit, prange
from ..layout import channels_last
from . import average
from .window import gather_row, largest_row


def max_forward(x, y, index, *, kernel_size, stride, padding):
    from_memory = x.nbytes + y.nbytes + index.nbytes > tile.LARGE  # what lies in a cache need not be asked for
    _max_forward(channels_last(x), channels_last(y), channels_last(index), *kernel_size, *stride, *padding,
                 stride[0] if from_memory else 0)


def max_backward(gy, index, gx, *, kernel_size, stride, padding):
    _max_backward(channels_last(gy), channels_last(index), channels_last(gx), *kernel_size, *stride, *padding)


def average_forward(x, y, *, kernel_size, stride, padding, count_include_pad):
    average.forward(channels_last(x), channels_last(y),
                    *average.windows(x.shape, y.shape, kernel_size, stride, padding, count_include_pad))


def average_backward(gy, gx, *, kernel_size, stride, padding, count_include_pad):
    average.backward(channels_last(gy), channels_last(gx),
                     *average.windows(gx.shape, gy.shape, kernel_size, stride, padding, count_include_pad))


def adaptive_average_forward(x, y):
    average.forward(channels_last(x), channels_last(y), *average.bins(x.shape, y.shape))


def adaptive_average_backward(gy, gx):
    average.backward(channels_last(gy), channels_last(gx), *average.bins(gx.shape, gy.shape))


@jit
def _max_forward(x, y, index, R, S, stride_h, stride_w, pad_h, pad_w, ahead):
    (N, H, W, C), P = x.shape, y.shape[1]
    for row in prange(N * P):
        n, top = row // P, row % P * stride_h - pad_h
        r0, r1 = max(0, -top), min(R, H - top)
        largest_row(x, (n * H + top + r0) * W * C, W, r1 - r0, r0 * S, S, stride_w, pad_w, y, index, row, ahead)


@jit
def _max_backward(gy, index, gx, R, S, stride_h, stride_w, pad_h, pad_w):
    N, H, W, C = gx.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        gather_row(gy, index, n, h, W, R, S, stride_h, stride_w, pad_h, pad_w, gx, row * W * C)
