"""Convolution of images."""

from __future__ import annotations

from typing import Any

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks
from .checks import Pair, pair
from .kept import kept_of


class Conv2d(Function):
    """See ``kernels/conv/README.md`` for the formulas.  With ``relu`` (``nn/fusion.py`` asks for it) it is conv2d and
    relu in one: what is below 0 is cut off as it is written, and backward masks the gradient as it is read."""

    name = "conv2d"
    relu = False
    kept: dict[Any, Any] | None = None
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    output: tuple[int, int]

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        self.options = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        self.window = weight.shape[2:], self.stride
        x, weight = self.device.dense(x), self.device.dense(weight, plain=True)
        bias = None if bias is None else self.device.dense(bias)
        y = self.device.empty((x.shape[0], weight.shape[0], *self.output), x.dtype)
        self.save(x, weight, y if self.relu else None)
        self.device.launch("conv.forward", x, weight, bias, y, relu=self.relu, kept=self.kept, **self.options)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        x, weight, y = self.saved
        gy = self.device.dense(gy)
        gx = gw = gb = None
        if self.needs[0]:
            gx = self.device.empty(x.shape, x.dtype)
            self.device.launch("conv.backward_input", gy, weight, gx, y, **self.options)
        if self.needs[1] or self.needs[2]:
            gw = self.device.empty(weight.shape, weight.dtype, plain=True)
            gb = self.device.empty((weight.shape[0],), weight.dtype) if self.needs[2] else None
            self.device.launch("conv.backward_weight", x, gy, gw, gb, y, **self.options)
        return gx, gw if self.needs[1] else None, gb


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0,
           groups: int = 1, ceil_mode: bool = False) -> Tensor:
    """Cross-correlation of images with filters, which the field calls convolution.

    y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, g C/G + c, p stride - padding + r, q stride -
    padding + s], with g the group of filter k, and x = 0 outside the image.

    Args:
        x: (N, C, H, W).
        weight: (K, C/G, R, S).
        bias: (K), or None for none.
        stride: pixels from window to window, an int or (vertical, horizontal); at least 1.
        padding: zeros on each side, an int or (vertical, horizontal); at least 0.
        groups: G; the filters of group g see the channels of group g only.  G must divide C and K.
        ceil_mode: count a last window that reaches past the bottom or right edge, as cuda-convnet did, if it starts in
            the image or its left padding: P is then ceil((H + 2 padding - R) / stride) + 1.  By default floor.

    Returns: (N, K, P, Q).

    Raises: ValueError for shapes that do not fit together, and for arguments out of range; TypeError for wrong types.
    """
    return prepare(x, weight, bias, stride, padding, groups, ceil_mode)(x, weight, bias)


def prepare(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int, ceil_mode: bool,
            relu: bool = False) -> Conv2d:
    """The Function for these arguments of :func:`conv2d`, once they are checked."""
    checks.images("conv2d", x)
    checks.tensors("conv2d", weight=weight, **({} if bias is None else {"bias": bias}))
    strides, paddings = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
    if weight.ndim != 4 or weight.size == 0:
        raise ValueError(f"conv2d: weight must have shape (K, C/groups, R, S), not {weight.shape}")
    _check_groups(x, weight, groups)
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ValueError(f"conv2d: bias has shape {bias.shape}, but weight has {weight.shape[0]} filters; "
                         f"it should be ({weight.shape[0]},)")
    kernel = weight.shape[2], weight.shape[3]
    output = checks.window_size("conv2d", x, kernel, strides, paddings, ceil_mode)
    return Conv2d(stride=strides, padding=paddings, groups=int(groups), output=output, relu=relu,
                  kept=kept_of(weight))


def _check_groups(x: Tensor, weight: Tensor, groups: int) -> None:
    if not checks.is_int(groups) or groups < 1:
        raise ValueError(f"conv2d: groups must be an int of at least 1, not {groups!r}")
    channels, per_group = x.shape[1], weight.shape[1]
    if channels != per_group * groups:
        hint = f"; pass groups={channels // per_group}?" if channels % per_group == 0 else ""
        raise ValueError(f"conv2d: weight has {per_group} input channels per group, but x has {channels} channels in "
                         f"{groups} group{'s' * (groups > 1)}{hint}")
    if weight.shape[0] % groups:
        raise ValueError(f"conv2d: {weight.shape[0]} filters cannot be shared out among {groups} groups; "
                         "groups must divide them")
