"""What follows from shapes: the sizes that windows give, shared by convolution and pooling; and how it is kept."""

from functools import lru_cache

# Decorator: found once for each layer, for Python takes up to three times as long where a kernel has just filled the
# caches.  All that the function depends on and that may change, so also the number of threads, must be an argument; the
# instruction set is the same for a whole process.
planned = lru_cache(maxsize=1024)


def output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows of ``kernel`` pixels, ``stride`` apart, fit into ``size`` pixels padded on both sides.

    floor((size + 2*padding - kernel) / stride) + 1, or with ``ceil_mode`` the ceiling: one more window, which reaches
    past the edge, counts, but only if it starts inside the image or its left padding (as in PyTorch and Caffe)."""
    span = size + 2 * padding - kernel
    outputs = span // stride + 1
    return outputs + int(ceil_mode and span % stride > 0 and outputs * stride < size + padding)


def evenly(count: int, most: int) -> int:
    """How many at a time, never more than ``most``, that ``count`` goes in as few portions as possible, all of nearly
    equal size."""
    return -(-count // -(-count // most))
