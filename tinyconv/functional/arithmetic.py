"""Arithmetic and reductions.  Operands broadcast as in NumPy; a number stands for a tensor of that value everywhere."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from .checks import axes_of, tensors


class _Elementwise(Function):
    """Functions over the kernels of ``elementwise``."""

    def elementwise(self, kernel: str, *arrays: Array, **options: Any) -> Array:
        """The result of an elementwise kernel, in a new array."""
        y = self.device.empty(np.broadcast_shapes(*(a.shape for a in arrays)), arrays[0].dtype)
        self.device.launch(f"elementwise.{kernel}", *arrays, y, **options)
        return y


class _Binary(_Elementwise):
    """Arithmetic on two operands: launches ``elementwise.<name>`` on them, broadcast to one shape."""

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return self.elementwise(self.name, a, b)

    def unbroadcast(self, gradient: Array, index: int) -> Array:
        """The gradient of operand ``index``: a value that was used in several places gets the sum of their
        gradients."""
        shape = self.shapes[index]
        padded = (1,) * (gradient.ndim - len(shape)) + tuple(shape)
        axes = tuple(i for i, size in enumerate(padded) if size == 1 and gradient.shape[i] != 1)
        if axes:
            total = self.device.empty(padded, gradient.dtype, plain=True)
            self.device.launch("reduce.sum", gradient, total, axes=axes)
            gradient = total
        return gradient.reshape(shape)


class Add(_Binary):
    name = "add"

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return self.unbroadcast(gy, 0), self.unbroadcast(gy, 1)


class Sub(_Binary):
    name = "sub"

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return self.unbroadcast(gy, 0), self.unbroadcast(self.elementwise("scale", gy, factor=-1), 1)


class Mul(_Binary):
    name = "mul"

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return super().forward(a, b)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        return (self.unbroadcast(self.elementwise("mul", gy, b), 0) if self.needs[0] else None,
                self.unbroadcast(self.elementwise("mul", gy, a), 1) if self.needs[1] else None)


class Div(_Binary):
    """y = a / b;  ga = gy / b;  gb = -gy y / b."""

    name = "div"

    def forward(self, a: Array, b: Array) -> Array:
        y = super().forward(a, b)
        self.save(b, y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        b, y = self.saved
        ga = self.elementwise("div", gy, b)
        if not self.needs[1]:
            return self.unbroadcast(ga, 0), None
        gb = self.elementwise("scale", self.elementwise("mul", ga, y), factor=-1)
        return self.unbroadcast(ga, 0), self.unbroadcast(gb, 1)


class Pow(_Elementwise):
    """y = x**exponent for a fixed exponent;  gx = gy exponent x**(exponent-1)."""

    name = "pow"
    exponent: float

    def forward(self, x: Array) -> Array:
        self.save(x)
        return self.elementwise("power", x, exponent=self.exponent)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        (x,) = self.saved
        power = self.elementwise("power", x, exponent=self.exponent - 1 if self.exponent else 0)  # not 0 * 0**-1
        slope = self.elementwise("scale", power, factor=self.exponent)
        return (self.elementwise("mul", gy, slope),)


class Scale(_Elementwise):
    """y = factor * x for a fixed factor."""

    name = "scale"
    factor: float

    def forward(self, x: Array) -> Array:
        return self.elementwise("scale", x, factor=self.factor)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.elementwise("scale", gy, factor=self.factor),)


class Exp(_Elementwise):
    name = "exp"

    def forward(self, x: Array) -> Array:
        y = self.elementwise("exp", x)
        self.save(y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.elementwise("mul", gy, self.saved[0]),)


class Log(_Elementwise):
    name = "log"

    def forward(self, x: Array) -> Array:
        self.save(x)
        return self.elementwise("log", x)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.elementwise("div", gy, self.saved[0]),)


class MatMul(Function):
    """The product of two matrices: ga = gy b^T, gb = a^T gy."""

    name = "matmul"

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return self._product(a, b)

    def _product(self, a: Array, b: Array) -> Array:
        y = self.device.empty((a.shape[0], b.shape[1]), a.dtype)
        self.device.launch("linear.forward", self.device.dense(a), self.device.dense(b.T), None, y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        return (self._product(gy, b.T) if self.needs[0] else None, self._product(a.T, gy) if self.needs[1] else None)


class Sum(Function):
    name = "sum"
    axes: tuple[int, ...]
    keepdims: bool

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        y = self.device.empty(tuple(1 if i in self.axes else n for i, n in enumerate(x.shape)), x.dtype, plain=True)
        self.kept = y.shape
        self._reduce(x, y)
        return y if self.keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])

    def _reduce(self, x: Array, y: Array) -> None:
        self.device.launch("reduce.sum", x, y, axes=self.axes)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        gx = self.device.empty(self.shape, gy.dtype)
        self.device.launch("elementwise.copy", gy.reshape(self.kept), gx)
        return (gx,)


class Max(Sum):
    """Elements that share the maximum share its gradient evenly."""

    name = "max"

    def _reduce(self, x: Array, y: Array) -> None:
        self.device.launch("reduce.max", x, y, axes=self.axes)
        self.save(x, y)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        x, y = self.saved
        gx = self.device.empty(self.shape, gy.dtype)
        self.device.launch("reduce.max_backward", x, y, gy.reshape(self.kept), gx, axes=self.axes)
        return (gx,)


def _operands(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors; a number or array takes the dtype and the device of the other."""
    like = a if isinstance(a, Tensor) else b
    if not isinstance(like, Tensor):
        raise TypeError(f"{name}: at least one operand must be a Tensor; got {type(a).__name__}, {type(b).__name__}")
    for operand in (a, b):
        if not isinstance(operand, Tensor) and np.asarray(operand).dtype.kind not in "fiub":
            raise TypeError(f"{name}: cannot combine a Tensor with {type(operand).__name__}; use a number or an array")
    both = [t if isinstance(t, Tensor) else Tensor(like.device.upload(np.asarray(t, like.dtype)), like.device)
            for t in (a, b)]
    tensors(name, a=both[0], b=both[1])
    try:
        np.broadcast_shapes(both[0].shape, both[1].shape)
    except ValueError:
        raise ValueError(f"{name}: shapes {both[0].shape} and {both[1].shape} do not broadcast; "
                         "axes must be equal or 1, counted from the last") from None
    return both[0], both[1]


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    return Add()(*_operands("add", a, b))


def sub(a: Any, b: Any) -> Tensor:
    """a - b."""
    return Sub()(*_operands("sub", a, b))


def mul(a: Any, b: Any) -> Tensor:
    """a * b, element by element."""
    return Mul()(*_operands("mul", a, b))


def div(a: Any, b: Any) -> Tensor:
    """a / b, element by element."""
    return Div()(*_operands("div", a, b))


def neg(x: Tensor) -> Tensor:
    """-x."""
    tensors("neg", x=x)
    return Scale(name="neg", factor=-1.0)(x)


def pow(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for a number ``exponent``.  Raises TypeError if it is not a number."""
    tensors("pow", x=x)
    if not isinstance(exponent, numbers.Real):
        raise TypeError(f"pow: exponent must be a number, not {type(exponent).__name__}")
    return Pow(exponent=exponent)(x)


def exp(x: Tensor) -> Tensor:
    """e ** x."""
    tensors("exp", x=x)
    return Exp()(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm of x."""
    tensors("log", x=x)
    return Log()(x)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices a (M, L) and b (L, N).  Raises ValueError if they are not two matrices that fit."""
    tensors("matmul", a=a, b=b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: a must be (M, L) and b (L, N), but they are {a.shape} and {b.shape}")
    return MatMul()(a, b)


def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis`` (an int, a tuple, or None for all)."""
    tensors("sum", x=x)
    return Sum(axes=axes_of("sum", axis, x.ndim), keepdims=keepdims)(x)


def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over ``axis`` (an int, a tuple, or None for all)."""
    tensors("mean", x=x)
    axes = axes_of("mean", axis, x.ndim)
    count = math.prod(x.shape[a] for a in axes)
    if count == 0:
        raise ValueError(f"mean: there is nothing to average in a tensor of shape {x.shape}")
    return Scale(name="mean", factor=1 / count)(Sum(axes=axes, keepdims=keepdims)(x))


def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element along ``axis`` (an int, a tuple, or None for all); equals share the gradient."""
    tensors("max", x=x)
    if x.size == 0:
        raise ValueError(f"max: a tensor of shape {x.shape} has no elements")
    return Max(axes=axes_of("max", axis, x.ndim), keepdims=keepdims)(x)
