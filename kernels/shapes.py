"""The sizes that windows give: shared by convolution and pooling."""


def output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows of ``kernel`` pixels, ``stride`` apart, fit into ``size`` pixels padded on both sides.

    floor((size + 2*padding - kernel) / stride) + 1, or with ``ceil_mode`` the ceiling: one more window, which reaches
    past the edge, counts, but only if it starts inside the image or its left padding (as in PyTorch and Caffe)."""
    span = size + 2 * padding - kernel
    outputs = span // stride + 1
    return outputs + int(ceil_mode and span % stride > 0 and outputs * stride < size + padding)
