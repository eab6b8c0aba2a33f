"""The layers: functions of ``tinyconv.functional`` with their parameters and options remembered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from .. import random
from ..device import Device
from ..functional import checks
from ..functional.checks import Pair
from ..tensor import Tensor
from . import init
from .module import Module, Parameter


def _positive(layer: str, **sizes: Any) -> None:
    for argument, value in sizes.items():
        if not checks.is_int(value) or value < 1:
            raise ValueError(f"{layer}: {argument} must be an int of at least 1, not {value!r}")


class Conv2d(Module):
    """A convolution with its weights (K, C/G, R, S) and, unless ``bias=False``, a bias (K).  See ``functional.conv2d``.

    Initial values are PyTorch's: uniform in +-1/sqrt(C/G R S); ``tinyconv.nn.init`` has others."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0,
                 groups: int = 1, bias: bool = True, ceil_mode: bool = False, device: str | Device = "cpu") -> None:
        _positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: groups={groups} must divide in_channels={in_channels} and "
                             f"out_channels={out_channels}")
        self.kernel_size = checks.pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = checks.pair("Conv2d", "stride", stride, 1)
        self.padding = checks.pair("Conv2d", "padding", padding, 0)
        self.groups, self.ceil_mode = groups, ceil_mode
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.zeros(shape, np.float32), device)
        self.bias = Parameter(np.zeros(out_channels, np.float32), device) if bias else None
        init.default(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.groups, self.ceil_mode)

    def multiply_accumulates(self, y_shape: tuple[int, ...]) -> int:
        """R S C/G for each output element."""
        return math.prod(y_shape) * math.prod(self.weight.shape[1:])

    def extra_repr(self) -> str:
        options = [f"stride={self.stride}", f"padding={self.padding}"]
        options += [f"groups={self.groups}"] * (self.groups > 1) + ["ceil_mode=True"] * self.ceil_mode
        k, c = self.weight.shape[:2]
        return f"{c * self.groups}, {k}, kernel_size={self.kernel_size}, {', '.join(options)}"


class Linear(Module):
    """y = x weight^T + bias, with weight (K, C).  Initial values as :class:`Conv2d`: uniform in +-1/sqrt(C)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: str | Device = "cpu") -> None:
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.weight = Parameter(np.zeros((out_features, in_features), np.float32), device)
        self.bias = Parameter(np.zeros(out_features, np.float32), device) if bias else None
        init.default(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def multiply_accumulates(self, y_shape: tuple[int, ...]) -> int:
        """C for each output element."""
        return math.prod(y_shape) * self.weight.shape[1]

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class ReLU(Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Dropout(Module):
    """See ``functional.dropout``.  ``stream`` is this layer's own; ``step`` counts its training passes."""

    def __init__(self, p: float = 0.5) -> None:
        checks.number("Dropout", "p", p, least=0, below=1)
        self.p = p
        self.stream, self.step = random.next_stream(), 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        self.step += 1
        return F.dropout(x, self.p, stream=self.stream, step=self.step - 1)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Flatten(Module):
    """(N, C, H, W) to (N, C*H*W)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x)


class LocalResponseNorm(Module):
    """See ``functional.local_response_norm``: alpha is divided by size."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        _positive("LocalResponseNorm", size=size)
        checks.number("LocalResponseNorm", "alpha", alpha, least=0)
        checks.number("LocalResponseNorm", "beta", beta)
        checks.number("LocalResponseNorm", "k", k, above=0)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


class MaxPool2d(Module):
    """See ``functional.max_pool2d``."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0,
                 ceil_mode: bool = False) -> None:
        self.kernel_size = checks.pair("MaxPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.pair("MaxPool2d", "stride", stride, 1)
        self.padding, self.ceil_mode = checks.pair("MaxPool2d", "padding", padding, 0), ceil_mode
        checks.padding("MaxPool2d", self.padding, self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
                + ", ceil_mode=True" * self.ceil_mode)


class AvgPool2d(MaxPool2d):
    """See ``functional.avg_pool2d``."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AdaptiveAvgPool2d(Module):
    """See ``functional.adaptive_avg_pool2d``."""

    def __init__(self, output_size: Pair) -> None:
        self.output_size = checks.pair("AdaptiveAvgPool2d", "output_size", output_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"
