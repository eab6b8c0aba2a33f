"""Convolution, by its definition.  See README.md for the formulas."""

import numpy as np


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None):
    """y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, c0+c, p*stride-padding+r, q*stride-padding+s].

    x (N,C,H,W), weight (K,C/G,R,S), bias (K) or None, y (N,K,P,Q).  c0 is the first channel of k's group; x is zero
    outside.  P and Q may reach past the bottom and right edge (ceil mode): there, too, x is zero.
    With ``relu`` what is below 0 becomes 0."""
    y[...] = 0 if bias is None else bias[:, None, None]
    for channels, filters, r, s, window in _taps(x.shape, weight.shape, y.shape, stride, padding, groups):
        inside, at = window
        y[:, filters][..., inside[0], inside[1]] += np.einsum(
            "nchw,kc->nkhw", x[:, channels][..., at[0], at[1]], weight[filters, :, r, s])
    if relu:
        y[...] = np.maximum(y, 0)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups):
    """gx[n,c,h,w] = sum over k,r,s and the p,q with p*stride-padding+r = h, q*stride-padding+s = w of
    weight[k,c,r,s] gy[n,k,p,q].  Given y, what forward made with ``relu``, gy counts only where y > 0."""
    gy = gy if y is None else np.where(y > 0, gy, 0)
    gx[...] = 0
    for channels, filters, r, s, window in _taps(gx.shape, weight.shape, gy.shape, stride, padding, groups):
        inside, at = window
        gx[:, channels][..., at[0], at[1]] += np.einsum(
            "nkhw,kc->nchw", gy[:, filters][..., inside[0], inside[1]], weight[filters, :, r, s])


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups):
    """gw[k,c,r,s] = sum over n,p,q of gy[n,k,p,q] x[n, c0+c, p*stride-padding+r, q*stride-padding+s];
    gb[k] = sum over n,p,q of gy[n,k,p,q].  gb may be None.  y as above."""
    gy = gy if y is None else np.where(y > 0, gy, 0)
    gw[...] = 0
    for channels, filters, r, s, window in _taps(x.shape, gw.shape, gy.shape, stride, padding, groups):
        inside, at = window
        gw[filters, :, r, s] = np.einsum(
            "nkhw,nchw->kc", gy[:, filters][..., inside[0], inside[1]], x[:, channels][..., at[0], at[1]])
    if gb is not None:
        gb[...] = gy.sum(axis=(0, 2, 3))


def _taps(x_shape, w_shape, y_shape, stride, padding, groups):
    """For each group and tap (r, s): its channels, its filters, and the outputs that see an input through that tap,
    as (slices of the outputs, slices of the inputs)."""
    per_group_in, per_group_out = x_shape[1] // groups, w_shape[0] // groups
    for group in range(groups):
        channels = slice(group * per_group_in, (group + 1) * per_group_in)
        filters = slice(group * per_group_out, (group + 1) * per_group_out)
        for r in range(w_shape[2]):
            rows = _reach(r, stride[0], padding[0], x_shape[2], y_shape[2])
            for s in range(w_shape[3]):
                columns = _reach(s, stride[1], padding[1], x_shape[3], y_shape[3])
                yield channels, filters, r, s, ((rows[0], columns[0]), (rows[1], columns[1]))


def _reach(tap, stride, padding, size, outputs):
    """The outputs p with 0 <= p*stride - padding + tap < size, as a slice, and the inputs that they see."""
    first = max(0, -(-(padding - tap) // stride))
    last = min(outputs - 1, (size - 1 + padding - tap) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride - padding + tap
    return slice(first, last + 1), slice(begin, begin + (last - first) * stride + 1, stride)
