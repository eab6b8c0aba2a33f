"""The linear (fully connected) layer."""

from __future__ import annotations

from typing import Any

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks
from .kept import kept_of


class Linear(Function):
    """See ``kernels/linear/README.md`` for the formulas.  ``relu``: as in Conv2d."""

    name = "linear"
    relu = False
    kept: dict[Any, Any] | None = None

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        x, weight = self.device.dense(x), self.device.dense(weight)
        bias = None if bias is None else self.device.dense(bias)
        y = self.device.empty((x.shape[0], weight.shape[0]), x.dtype)
        self.save(x, weight, y if self.relu else None)
        self.device.launch("linear.forward", x, weight, bias, y, relu=self.relu, kept=self.kept)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        x, weight, y = self.saved
        gy = self.device.dense(gy)
        gx = gw = gb = None
        if self.needs[0]:
            gx = self.device.empty(x.shape, x.dtype)
            self.device.launch("linear.backward_input", gy, weight, gx, y)
        if self.needs[1] or self.needs[2]:
            gw = self.device.empty(weight.shape, weight.dtype)
            gb = self.device.empty((weight.shape[0],), weight.dtype) if self.needs[2] else None
            self.device.launch("linear.backward_weight", x, gy, gw, gb, y)
        return gx, gw if self.needs[1] else None, gb


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x weight^T + bias, for x (N, C), weight (K, C) and bias (K) or None; y is (N, K).

    Raises ValueError for shapes that do not fit together, TypeError for wrong types."""
    return prepare(x, weight, bias)(x, weight, bias)


def prepare(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool = False) -> Linear:
    """The Function for these arguments of :func:`linear`, once they are checked."""
    checks.tensors("linear", x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    if x.ndim != 2 or x.size == 0:
        hint = "; use flatten() first" if x.ndim > 2 else ""
        raise ValueError(f"linear: x must have shape (N, C), neither of them 0; not {x.shape}{hint}")
    if weight.ndim != 2 or weight.shape[1] != x.shape[1] or weight.size == 0:
        raise ValueError(f"linear: x has {x.shape[1]} features, but weight has shape {weight.shape}; "
                         f"it should be (K, {x.shape[1]}), with K at least 1")
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ValueError(f"linear: bias has shape {bias.shape}; it should be ({weight.shape[0]},)")
    return Linear(relu=relu, kept=kept_of(weight))
