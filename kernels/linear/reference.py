"""The linear layer, by its definition: x (N,C), weight (K,C), bias (K) or None, y (N,K)."""

import numpy as np


def forward(x, weight, bias, y, *, relu=False, kept=None):
    """y[n,k] = bias[k] + sum over c of weight[k,c] x[n,c];  with ``relu`` what is below 0 becomes 0."""
    y[...] = x @ weight.T if bias is None else x @ weight.T + bias
    if relu:
        y[...] = np.maximum(y, 0)


def backward_input(gy, weight, gx, y=None):
    """gx[n,c] = sum over k of gy[n,k] weight[k,c].  Given y, what forward made with ``relu``, gy counts only where
    y > 0."""
    gx[...] = (gy if y is None else np.where(y > 0, gy, 0)) @ weight


def backward_weight(x, gy, gw, gb, y=None):
    """gw[k,c] = sum over n of gy[n,k] x[n,c];  gb[k] = sum over n of gy[n,k].  gb may be None.  y as above."""
    gy = gy if y is None else np.where(y > 0, gy, 0)
    gw[...] = gy.T @ x
    if gb is not None:
        gb[...] = gy.sum(axis=0)
