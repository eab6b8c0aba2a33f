"""Softmax and the cross-entropy loss on all cores: each row by one thread, so sums have a fixed order."""

import numpy as np

from ..jit import inline, jit, prange


@jit
def softmax(x, y):
    for i in prange(x.shape[0]):
        y[i] = np.exp(x[i] - x[i].max())
        y[i] /= y[i].sum()


@jit
def softmax_backward(y, gy, gx):
    for i in prange(y.shape[0]):
        gx[i] = y[i] * (gy[i] - (gy[i] * y[i]).sum())


@jit
def log_softmax(x, y):
    for i in prange(x.shape[0]):
        y[i] = x[i] - x[i].max()
        y[i] -= np.log(np.exp(y[i]).sum())


@jit
def log_softmax_backward(y, gy, gx):
    for i in prange(y.shape[0]):
        gx[i] = gy[i] - np.exp(y[i]) * gy[i].sum()


def forward(x, target, loss, log_probability, *, label_smoothing):
    log_softmax(x, log_probability)
    loss[...] = _mean_loss(log_probability, target, label_smoothing)


@inline
def _mean_loss(log_probability, target, label_smoothing):
    """Few numbers, summed in double precision: the loss of a large batch is as good as that of a small one."""
    total = 0.0
    for i in range(target.size):
        row = log_probability[i]
        total -= (1 - label_smoothing) * row[target[i]]
        if label_smoothing:  # 0 * mean would be NaN where a class is ruled out
            total -= label_smoothing * row.mean()
    return total / target.size


def backward(log_probability, target, gloss, gx, *, label_smoothing):
    _backward(log_probability, target, gx.dtype.type(gloss / len(target)), gx, gx.dtype.type(label_smoothing))


@jit
def _backward(log_probability, target, scale, gx, label_smoothing):
    M, C = gx.shape
    for i in prange(M):
        for j in range(C):
            expected = label_smoothing / C + ((1 - label_smoothing) if j == target[i] else 0)
            gx[i, j] = scale * (np.exp(log_probability[i, j]) - expected)
