"""Functions that move data about: other shapes, parts, wholes, devices and dtypes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, Device
from ..device import device as find_device
from ..function import Function
from ..tensor import Tensor
from .checks import any_tensors, axes_of, is_int, one_axis


class Reshape(Function):
    """A view where the memory allows it; a channels-last image is first put into logical order."""

    name = "reshape"
    shape: tuple[int, ...]

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return self.device.dense(x, plain=True).reshape(self.shape)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.device.dense(gy, plain=True).reshape(self.before),)


class Permute(Function):
    name = "permute"
    axes: tuple[int, ...]

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (gy.transpose(tuple(np.argsort(self.axes).tolist())),)


class GetItem(Function):
    """Basic slicing: a view.  Backward puts the gradient back into its place among zeros."""

    name = "getitem"
    index: Any

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return x[self.index]

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        gx = self.device.empty(self.before, gy.dtype)
        self.device.launch("elementwise.fill", gx, value=0)
        self.device.launch("elementwise.copy", gy, gx[self.index])
        return (gx,)


class Cat(Function):
    name = "cat"
    axis: int

    def forward(self, *xs: Array) -> Array:
        self.sizes = [x.shape[self.axis] for x in xs]
        shape = list(xs[0].shape)
        shape[self.axis] = sum(self.sizes)
        y = self.device.empty(tuple(shape), xs[0].dtype)
        for x, part in zip(xs, self._parts(y), strict=True):
            self.device.launch("elementwise.copy", x, part)
        return y

    def _parts(self, whole: Array) -> list[Array]:
        before = (slice(None),) * self.axis
        ends = np.cumsum(self.sizes)
        return [whole[before + (slice(end - size, end),)] for size, end in zip(self.sizes, ends, strict=True)]

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return tuple(self._parts(gy))


class Pad(Function):
    name = "pad"
    padding: tuple[tuple[int, int], ...]
    value: float

    def forward(self, x: Array) -> Array:
        y = self.device.empty(tuple(n + a + b for n, (a, b) in zip(x.shape, self.padding, strict=True)), x.dtype)
        self.device.launch("elementwise.fill", y, value=self.value)
        self.inside = tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, self.padding, strict=True))
        self.device.launch("elementwise.copy", x, y[self.inside])
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (gy[self.inside],)


class ToDevice(Function):
    """A copy on another device; the gradient travels back."""

    name = "to"
    target: Device

    def forward(self, x: Array) -> Array:
        self.source, self.device = self.device, self.target  # where the result lies
        self.crossings = [(self.source, self.target, x.nbytes)]  # for nn.summary
        return self.target.fetch(x, self.source)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.source.fetch(gy, self.target),)


class ToDtype(Function):
    name = "to"
    dtype: Any

    def forward(self, x: Array) -> Array:
        self.before = x.dtype
        return self._convert(x, self.dtype)

    def _convert(self, x: Array, dtype: Any) -> Array:
        y = self.device.empty(x.shape, dtype)
        self.device.launch("elementwise.copy", x, y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self._convert(gy, self.before),)


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements of x, in row-major logical order, in another shape; one -1 stands for what is left over.

    Raises ValueError if the shape does not have x.size elements."""
    any_tensors("reshape", x=x)
    wanted = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
    if any(not is_int(n) for n in wanted) or wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise ValueError(f"reshape: shape must be ints, at most one of them -1, not {tuple(wanted)}")
    if -1 in wanted:
        rest = math.prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = x.size // rest if rest else 0
    if math.prod(wanted) != x.size:
        raise ValueError(f"reshape: {x.size} elements of shape {x.shape} do not fit into {tuple(shape)}")
    return Reshape(shape=tuple(wanted))(x)


def flatten(x: Tensor, start_axis: int = 1) -> Tensor:
    """(N, C, H, W) to (N, C*H*W), in logical order: all axes from ``start_axis`` on become one."""
    any_tensors("flatten", x=x)
    start = one_axis("flatten", start_axis, x.ndim)
    return reshape(x, *x.shape[:start], math.prod(x.shape[start:]))


def permute(x: Tensor, *axes: Any) -> Tensor:
    """The axes in another order (a view), as ``x.permute(0, 2, 3, 1)``."""
    any_tensors("permute", x=x)
    order = axes_of("permute", axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes, x.ndim)
    if len(order) != x.ndim:
        raise ValueError(f"permute: {axes} must name each of the {x.ndim} axes once")
    return Permute(axes=order)(x)


def transpose(x: Tensor, axis0: int = -1, axis1: int = -2) -> Tensor:
    """Two axes swapped (a view); by default the last two."""
    any_tensors("transpose", x=x)
    a, b = axes_of("transpose", (axis0, axis1), x.ndim)
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return Permute(axes=tuple(order))(x)


def getitem(x: Tensor, index: Any) -> Tensor:
    """A part of x by ints, slices, ``...`` and None (a view).  Raises TypeError for arrays and lists of indices."""
    any_tensors("getitem", x=x)
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if not (is_int(part) or isinstance(part, slice) or part is None or part is Ellipsis):
            raise TypeError(f"getitem: index with ints, slices, ... and None, not {type(part).__name__}")
    # With an ellipsis NumPy gives a view even of a single element, which otherwise would be a number.
    return GetItem(index=parts if Ellipsis in parts else (*parts, Ellipsis))(x)


def cat(tensors: Sequence[Tensor], axis: int = 1) -> Tensor:
    """The tensors joined along ``axis`` (by default the channels).  Raises ValueError if other sizes differ."""
    if not tensors:
        raise ValueError("cat: needs at least one tensor")
    any_tensors("cat", **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    axis = one_axis("cat", axis, tensors[0].ndim)
    for t in tensors[1:]:
        if t.ndim != tensors[0].ndim or any(
                a != b for i, (a, b) in enumerate(zip(t.shape, tensors[0].shape, strict=True)) if i != axis):
            raise ValueError(f"cat: shapes {tensors[0].shape} and {t.shape} differ in more than axis {axis}")
    return Cat(axis=axis)(*tensors)


def pad(x: Tensor, padding: Sequence[int], value: float = 0.0) -> Tensor:
    """``value`` around x: ``padding`` is (left, right) or (left, right, top, bottom) ..., the last axis first.

    Raises ValueError for an odd number of entries, more than two per axis, or negative ones."""
    any_tensors("pad", x=x)
    if len(padding) % 2 or len(padding) > 2 * x.ndim or any(not is_int(p) or p < 0 for p in padding):
        raise ValueError(f"pad: padding must be pairs of ints >= 0, last axis first, at most {x.ndim}; not {padding}")
    pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)]
    return Pad(padding=((0, 0),) * (x.ndim - len(pairs)) + tuple(reversed(pairs)), value=value)(x)


def to(x: Tensor, target: Any) -> Tensor:
    """x on another device or in another floating dtype; x itself if it is there already."""
    if isinstance(target, Device) or (isinstance(target, str) and not _is_dtype(target)):
        where = find_device(target)
        return x if where is x.device else ToDevice(target=where)(x)
    if target is None:  # NumPy would take it for float64
        raise TypeError("to: target must be a device or a dtype, not None")
    dtype = np.dtype(target)
    if dtype == x.dtype:
        return x
    if dtype not in (np.float32, np.float64, np.int64):
        raise TypeError(f"to: there is no tensor of {dtype}; use float32, float64 or int64")
    if dtype.kind != "f" and x.requires_grad:
        raise TypeError(f"to: a tensor that requires a gradient cannot become {dtype}; detach() it first")
    return ToDtype(dtype=dtype)(x)


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True
