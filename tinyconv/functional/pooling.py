"""Pooling: each output pixel summarises a window of the image, channel by channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks
from .checks import Pair, pair


class MaxPool2d(Function):
    """See ``kernels/pool/README.md`` for the formulas.  Keeps the place of each maximum, not the images."""

    name = "max_pool2d"
    options: dict[str, Any]
    output: tuple[int, int]

    def forward(self, x: Array) -> Array:
        self.window = self.options["kernel_size"], self.options["stride"]
        self.shape = x.shape
        y = self.device.empty((*x.shape[:2], *self.output), x.dtype)
        index = self.device.empty(y.shape, place_dtype(self.options["kernel_size"]))
        self.device.launch("pool.max_forward", self.device.dense(x), y, index, **self.options)
        self.save(index)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        gx = self.device.empty(self.shape, gy.dtype)
        self.device.launch("pool.max_backward", self.device.dense(gy), self.saved[0], gx, **self.options)
        return (gx,)


class AvgPool2d(Function):
    """See ``kernels/pool/README.md`` for the formulas."""

    name = "avg_pool2d"
    options: dict[str, Any]
    output: tuple[int, int]

    def forward(self, x: Array) -> Array:
        self.window = self.options["kernel_size"], self.options["stride"]
        self.shape = x.shape
        y = self.device.empty((*x.shape[:2], *self.output), x.dtype)
        self.device.launch("pool.average_forward", self.device.dense(x), y, **self.options)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        gx = self.device.empty(self.shape, gy.dtype)
        self.device.launch("pool.average_backward", self.device.dense(gy), gx, **self.options)
        return (gx,)


class AdaptiveAvgPool2d(Function):
    """See ``kernels/pool/README.md`` for the formulas."""

    name = "adaptive_avg_pool2d"
    output: tuple[int, int]

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        # For receptive fields: the largest bin, and the mean distance from bin to bin.
        bins = tuple(max(-(-(p + 1) * n // out) - p * n // out for p in range(out))
                     for n, out in zip(x.shape[2:], self.output, strict=True))
        self.window = bins, tuple(n / out for n, out in zip(x.shape[2:], self.output, strict=True))
        y = self.device.empty((*x.shape[:2], *self.output), x.dtype)
        self.device.launch("pool.adaptive_average_forward", self.device.dense(x), y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        gx = self.device.empty(self.shape, gy.dtype)
        self.device.launch("pool.adaptive_average_backward", self.device.dense(gy), gx)
        return (gx,)


def max_pool2d(x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0,
               ceil_mode: bool = False) -> Tensor:
    """The largest element of each window.  Padding is -inf and never wins; NaN always does; of equals the first gets
    the gradient.

    Args:
        x: (N, C, H, W).
        kernel_size: (R, S) of the window, or one int for both; at least 1.
        stride: pixels from window to window; by default ``kernel_size``.  Smaller: windows overlap, as in AlexNet.
        padding: pixels on each side, up to kernel_size - 1 (PyTorch allows half of the kernel).
        ceil_mode: count a last window that reaches past the edge, if it starts in the image or its left padding.

    Returns: (N, C, P, Q).

    Raises: ValueError for arguments out of range, or a window that does not fit; TypeError for wrong types.
    """
    options, output = checked(x, kernel_size, stride, padding, ceil_mode)
    return MaxPool2d(options=options, output=output)(x)


def checked(x: Tensor, kernel_size: Pair, stride: Pair | None, padding: Pair,
            ceil_mode: bool) -> tuple[dict[str, Any], tuple[int, int]]:
    """The options of the kernel, and (P, Q), once the arguments of :func:`max_pool2d` are checked."""
    options, output = _windows("max_pool2d", x, kernel_size, stride, padding, ceil_mode)
    if math.prod(options["kernel_size"]) > 65536:
        raise ValueError(f"max_pool2d: a window of {options['kernel_size']} has more than 65536 places; "
                         "use two poolings, or max(axis=(2, 3), keepdims=True) for the whole image")
    return options, output


def place_dtype(kernel_size: tuple[int, int]) -> Any:
    """What the number of a place in this window fits into."""
    return np.uint8 if math.prod(kernel_size) <= 256 else np.uint16


def avg_pool2d(x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:
    """The mean of each window.  Arguments as :func:`max_pool2d`, and

    count_include_pad: whether the zeros of the padding count as pixels (what ceil_mode adds beyond it never does).
    """
    options, output = _windows("avg_pool2d", x, kernel_size, stride, padding, ceil_mode)
    return AvgPool2d(options={**options, "count_include_pad": bool(count_include_pad)}, output=output)(x)


def adaptive_avg_pool2d(x: Tensor, output_size: Pair) -> Tensor:
    """The mean over a grid of bins: output (p, q) covers rows floor(p H/P) to ceil((p+1) H/P) - 1, columns likewise.

    x (N, C, H, W) of any size becomes (N, C, P, Q), with ``output_size`` = (P, Q) or one int for both, at least 1."""
    checks.images("adaptive_avg_pool2d", x)
    return AdaptiveAvgPool2d(output=pair("adaptive_avg_pool2d", "output_size", output_size, 1))(x)


def _windows(name: str, x: Tensor, kernel_size: Pair, stride: Pair | None, padding: Pair,
             ceil_mode: bool) -> tuple[dict[str, Any], tuple[int, int]]:
    """The options of a pooling kernel, and (P, Q)."""
    checks.images(name, x)
    kernel = pair(name, "kernel_size", kernel_size, 1)
    strides = kernel if stride is None else pair(name, "stride", stride, 1)
    paddings = pair(name, "padding", padding, 0)
    checks.padding(name, paddings, kernel)
    output = checks.window_size(name, x, kernel, strides, paddings, ceil_mode)
    return {"kernel_size": kernel, "stride": strides, "padding": paddings}, output
