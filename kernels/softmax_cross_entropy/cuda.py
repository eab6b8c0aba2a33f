"""Softmax and the cross-entropy loss on a GPU: each row by one warp, so sums have a fixed order."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "softmax_cross_entropy.cu")
_THREADS, _WARP = 128, 32


def softmax(x, y):
    _launch("softmax", x, y)


def softmax_backward(y, gy, gx):
    _launch("softmax_backward", y, gy, gx)


def log_softmax(x, y):
    _launch("log_softmax", x, y)


def log_softmax_backward(y, gy, gx):
    _launch("log_softmax_backward", y, gy, gx)


def forward(x, target, loss, log_probability, *, label_smoothing, scratch):
    (losses,) = scratch(*_losses(x))
    _launch("forward", x, target, log_probability, losses, more=(float(label_smoothing),))
    _SOURCE.launch("mean", 1, _WARP, losses, loss, len(losses), real=x.dtype)


def backward(log_probability, target, gloss, gx, *, label_smoothing):
    _launch("backward", log_probability, target, gloss, gx, more=(float(label_smoothing),))


def _losses(x):
    return (((len(x),), np.float64),)


def _launch(kernel, x, *arrays, more=()):
    rows, C = x.shape
    _SOURCE.launch(kernel, blocks(rows, _THREADS // _WARP), _THREADS, x, *arrays, np.int64(rows), C, *more,
                   real=x.dtype)
