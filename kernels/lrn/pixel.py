"""Local response normalisation of one pixel: C channels that lie side by side, so a window is a run of memory.

The sum over a window is taken as ``size`` shifted additions of whole rows of squares, padded with zeros at both ends:
more additions than a running sum, but free of its rounding drift, and the compiler turns them into vector code.  The
padded rows (C + size - 1) come in zeroed; only their middle is written here.
"""

import numpy as np

from ..jit import inline


@inline
def scale_of(x, squares, size, alpha_over_size, k, scale):
    """scale[c] = k + alpha/size * sum over the window of c of x**2."""
    middle = squares[size // 2:]
    for c in range(x.size):
        middle[c] = x[c] * x[c]
    window_sums(squares, size, scale)
    for c in range(x.size):
        scale[c] = k + alpha_over_size * scale[c]


@inline
def window_sums(padded, size, sums):
    """sums[c] = padded[c] + ... + padded[c + size - 1]."""
    if size == 5:  # the size that networks have: one pass instead of five
        for c in range(sums.size):
            sums[c] = padded[c] + padded[c + 1] + padded[c + 2] + padded[c + 3] + padded[c + 4]
        return
    for c in range(sums.size):
        sums[c] = padded[c]
    for j in range(1, size):
        for c in range(sums.size):
            sums[c] += padded[c + j]


@inline
def to_minus_beta(scale, beta, power):
    """power = scale**-beta; the usual 3/4 by square roots, an order of magnitude faster than pow."""
    if beta == 0.75:
        for c in range(scale.size):
            root = np.sqrt(np.reciprocal(scale[c]))  # scale**(-1/2); infinity gives 0, as it should
            power[c] = root * np.sqrt(root)
    else:
        for c in range(scale.size):
            power[c] = scale[c] ** -beta


@inline
def gradient(x, y, power, scale, gy, ratios, size, factor, sums, gx):
    """gx[c] = gy[c] power[c] - factor x[c] * sum over all j whose window holds c of gy[j] y[j] / scale[j].
    The windows that hold c are those of the mirror image."""
    middle = ratios[(size - 1) // 2:]
    for c in range(x.size):
        middle[c] = gy[c] * y[c] / scale[c]
    window_sums(ratios, size, sums)
    for c in range(x.size):
        gx[c] = power[c] * gy[c] - factor * x[c] * sums[c]
