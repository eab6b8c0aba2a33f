"""The linear layer: one matrix product a pass, by the BLAS that NumPy brings."""

import numpy as np

from ..relu import cpu as rectifier
from ..scratch import deal, nbytes


def forward(x, weight, bias, y, *, relu=False):
    np.matmul(x, weight.T, out=y)
    if bias is not None:
        np.add(y, bias, out=y)
    if relu:
        rectifier.forward(y, y)


def backward_input(gy, weight, gx, y=None, *, scratch):
    np.matmul(_masked(gy, y, scratch), weight, out=gx)


def backward_weight(x, gy, gw, gb, y=None, *, scratch):
    gy = _masked(gy, y, scratch)
    np.matmul(gy.T, x, out=gw)
    if gb is not None:
        np.sum(gy, axis=0, out=gb)


def backward_input_workspace(gy, weight, gx, y=None):
    return 0 if y is None else nbytes((gy.shape, gy.dtype))


def backward_weight_workspace(x, gy, gw, gb, y=None):
    return 0 if y is None else nbytes((gy.shape, gy.dtype))


def _masked(gy, y, scratch):
    """gy where y > 0, else 0."""
    if y is None:
        return gy
    (masked,) = deal(scratch, (gy.shape, gy.dtype))
    rectifier.backward(y, gy, masked)
    return masked
