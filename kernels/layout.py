"""How arrays lie in memory, as the CPU kernels see them.

Activations have shape (N, C, H, W), but lie channels-last, as (N, H, W, C): the C numbers of a pixel side by side.  So
a convolution window is a few long runs of memory, and what acts across channels (LRN, softmax, bias) has stride 1.
"""

import numpy as np

LINE_BYTES = 64  # of a cache line
LINE = 16  # numbers, a cache line or two: they pad rows that are read side by side, lest all fall into few of its sets


def channels_last(x: np.ndarray) -> np.ndarray:
    """The (N, H, W, C) array behind the (N, C, H, W) view ``x``.  Raises ValueError if it does not lie like that."""
    nhwc = x.transpose(0, 2, 3, 1)
    if not nhwc.flags.c_contiguous:
        raise ValueError(f"an array of shape {x.shape} and strides {x.strides} is not dense channels-last; "
                         "pass it through Device.dense first")
    return nhwc


def flat(x: np.ndarray) -> np.ndarray:
    """The elements of a dense array in memory order, as one axis (a view).  Raises ValueError if it is not dense."""
    if not x.flags.c_contiguous and x.ndim == 4:
        x = channels_last(x)
    if not x.flags.c_contiguous:
        raise ValueError(f"an array of shape {x.shape} and strides {x.strides} is not dense; use Device.dense first")
    return x.reshape(-1)


def same_order(*arrays: np.ndarray) -> bool:
    """Whether dense arrays of one shape hold their elements in the same order in memory."""
    if len({a.shape for a in arrays}) > 1:
        return False
    return all(a.flags.c_contiguous for a in arrays) or all(map(is_channels_last, arrays))


def is_channels_last(x: np.ndarray) -> bool:
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous
