"""Two layers in one Function: what ``nn/fusion.py`` calls in place of two neighbours.

Not part of ``tinyconv.functional``: who calls a function gets that function.  Arguments are checked by, and errors
name, the two functions that these stand for.
"""

from __future__ import annotations

from typing import Any

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import convolution, normalization, pooling
from .checks import Pair
from .linear import prepare as prepare_linear


def conv2d_relu(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int,
                ceil_mode: bool) -> Tensor:
    """relu(conv2d(x, ...))."""
    return convolution.prepare(x, weight, bias, stride, padding, groups, ceil_mode, relu=True)(x, weight, bias)


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """relu(linear(x, ...))."""
    return prepare_linear(x, weight, bias, relu=True)(x, weight, bias)


class LocalResponseNormMaxPool2d(Function):
    """See ``kernels/lrn_max_pool/README.md``.  Keeps x and the places of the maxima, nothing that lies between."""

    name = "local_response_norm + max_pool2d"
    options: dict[str, Any]
    output: tuple[int, int]

    def forward(self, x: Array) -> Array:
        self.window = self.options["kernel_size"], self.options["stride"]
        x = self.device.dense(x)
        y = self.device.empty((*x.shape[:2], *self.output), x.dtype)
        index = self.device.empty(y.shape, pooling.place_dtype(self.options["kernel_size"]))
        self.device.launch("lrn_max_pool.forward", x, y, index, **self.options)
        self.save(x, index)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        x, index = self.saved
        gx = self.device.empty(x.shape, x.dtype)
        self.device.launch("lrn_max_pool.backward", x, index, self.device.dense(gy), gx, **self.options)
        return (gx,)


def local_response_norm_max_pool2d(x: Tensor, size: int, alpha: float, beta: float, k: float, kernel_size: Pair,
                                   stride: Pair | None, padding: Pair, ceil_mode: bool) -> Tensor:
    """max_pool2d(local_response_norm(x, ...), ...)."""
    norm = normalization.checked(x, size, alpha, beta, k)
    pool, output = pooling.checked(x, kernel_size, stride, padding, ceil_mode)
    return LocalResponseNormMaxPool2d(options={**norm, **pool}, output=output)(x)
