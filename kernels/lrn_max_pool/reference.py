"""Local response normalisation and max-pooling, one after the other: that is the definition."""

import numpy as np

from ..lrn import reference as lrn
from ..pool import reference as pool


def forward(x, y, index, *, size, alpha, beta, k, kernel_size, stride, padding):
    """y = max_pool(lrn(x)); index = the place of the maximum in each window.  x (N,C,H,W), y and index (N,C,P,Q)."""
    normalised, scale = np.empty_like(x), np.empty_like(x)
    lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
    pool.max_forward(normalised, y, index, kernel_size=kernel_size, stride=stride, padding=padding)


def backward(x, index, gy, gx, *, size, alpha, beta, k, kernel_size, stride, padding):
    """gx = lrn's gradient of max-pooling's gradient of gy; what lies between is worked out again from x."""
    normalised, scale, gradient = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
    pool.max_backward(gy, index, gradient, kernel_size=kernel_size, stride=stride, padding=padding)
    lrn.backward(x, normalised, scale, gradient, gx, size=size, alpha=alpha, beta=beta, k=k)
