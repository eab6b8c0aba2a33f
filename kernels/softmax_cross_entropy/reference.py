"""Softmax and the cross-entropy loss, by their definitions.  x, y (M, C): softmax runs over the last axis.

All subtract the largest logit of a row first: exp then never overflows, and the result is the same, for
exp(x - m) / sum exp(x - m) = exp(x) / sum exp(x).
"""

import numpy as np


def softmax(x, y):
    """y[i] = exp(x[i]) / sum over j of exp(x[j])."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y[...] = e / e.sum(axis=-1, keepdims=True)


def softmax_backward(y, gy, gx):
    """gx[i] = y[i] * (gy[i] - sum over j of gy[j] y[j])."""
    gx[...] = y * (gy - (gy * y).sum(axis=-1, keepdims=True))


def log_softmax(x, y):
    """y[i] = x[i] - log(sum over j of exp(x[j]))."""
    shifted = x - x.max(axis=-1, keepdims=True)
    y[...] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_softmax_backward(y, gy, gx):
    """gx[i] = gy[i] - exp(y[i]) * sum over j of gy[j]."""
    gx[...] = gy - np.exp(y) * gy.sum(axis=-1, keepdims=True)


def forward(x, target, loss, log_probability, *, label_smoothing):
    """loss = mean over the rows of -sum over j of q[j] log_probability[j], where
    q = (1 - label_smoothing) * (1 at the target, else 0) + label_smoothing / C."""
    log_softmax(x, log_probability)
    picked = log_probability[np.arange(len(target)), target]
    smooth = log_probability.mean(axis=1) if label_smoothing else 0  # 0 * mean would be NaN where a class is ruled out
    loss[...] = -((1 - label_smoothing) * picked + label_smoothing * smooth).mean()


def backward(log_probability, target, gloss, gx, *, label_smoothing):
    """gx = gloss / M * (softmax(x) - q)."""
    gx[...] = np.exp(log_probability) - label_smoothing / gx.shape[1]
    gx[np.arange(len(target)), target] -= 1 - label_smoothing
    gx *= gloss / len(target)
