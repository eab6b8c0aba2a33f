"""Tensor: an array, where it lives, its gradient, and how it was made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .changing import changes
from .copying import deep_copy, state
from .device import Array, Device
from .device import device as find_device
from .function import Function, backward
from .timeline import phase


class Tensor:
    """An array that remembers the Function that made it.  Make one with :func:`tensor`."""

    __array_priority__ = 100  # numpy_array * tensor asks the tensor first
    to: Any  # set below, like the operators

    def __init__(self, data: Array, device: Device, requires_grad: bool = False) -> None:
        self.data = data  # the device's own array: NCHW by shape, in memory as the device likes it
        self.device = device
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.creator: Function | None = None  # None: a leaf, made by the user; its gradient is kept in grad
        self.version = [0]  # counts changes in place; a list, so that views can share the count

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        return len(self.data.shape)

    @property
    def size(self) -> int:
        return math.prod(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        made = f", made by {self.creator.name}" if self.creator else ", requires_grad" if self.requires_grad else ""
        return f"tensor({np.array2string(self.numpy(), prefix='tensor(', separator=', ')}, {self.device}{made})"

    __deepcopy__, __getstate__ = deep_copy, state

    def numpy(self) -> np.ndarray:
        """A contiguous copy as a NumPy array."""
        return self.device.download(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        return self.device.dlpack(self.data, **options)  # memory is shared, but not its version

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    __cuda_array_interface__ = property(lambda self: self.device.array_interface(self.data))  # AttributeError on a CPU

    def item(self) -> float | int:
        """The one element of a tensor of size 1, as a Python number.  Raises ValueError if there are more or none."""
        if self.size != 1:
            raise ValueError(f"item: a tensor of shape {self.shape} has {self.size} elements, not 1")
        return self.numpy().item()

    def backward(self, gradient: Any = None) -> None:
        """Add the gradients of this tensor to the ``grad`` of every leaf that it was made from.

        ``gradient`` (an array of this shape; 1 for a tensor of size 1) is the gradient of the final result with respect
        to this tensor.  The graph is freed as it is walked.  Raises RuntimeError if there is no graph, if it was freed
        by an earlier backward, or if a tensor that it needs was changed in place; ValueError if a gradient is missing
        or has the wrong shape."""
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor does not require a gradient, nor does anything it was made from")
        if gradient is None and self.size != 1:
            raise ValueError(f"backward: a tensor of shape {self.shape} is no scalar; pass gradient= of this shape")
        gradient = np.asarray(np.ones(self.shape) if gradient is None else gradient, self.dtype)
        if gradient.shape != self.shape:
            raise ValueError(f"backward: gradient has shape {gradient.shape}, but the tensor has {self.shape}")
        with phase("backward"):  # of a timeline, if one is recorded
            backward(self, self.device.upload(gradient))

    def accumulate_grad(self, gradient: Array, shared: bool) -> None:
        """Add ``gradient`` to ``grad``.  ``shared``: somebody else may hold the same memory, so keep a copy."""
        if self.grad is not None:
            with changes(self.grad):
                self.device.launch("elementwise.add", self.grad.data, gradient, self.grad.data)
            return
        self.grad = Tensor(self.device.copy(gradient) if shared else gradient, self.device)

    def detach(self) -> Tensor:
        """The same data without the history; a change in place of one is a change of both."""
        result = Tensor(self.data, self.device)
        result.version = self.version
        return result

    def copy_(self, source: Any) -> Tensor:
        """Overwrite the data in place with an array of the same shape (ValueError if it differs), outside the graph."""
        array = np.asarray(source, self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"copy_: source has shape {array.shape}, but the tensor has {self.shape}")
        with changes(self):
            self.device.launch("elementwise.copy", self.device.upload(array), self.data)
        return self


def _operator(name: str, swapped: bool = False) -> Any:
    """A method that calls ``tinyconv.functional.<name>``; imported late because that module is built on this one."""

    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        from . import functional

        operands = (*args, self) if swapped else (self, *args)
        return getattr(functional, name)(*operands, **options)

    method.__name__ = name
    method.__doc__ = f"See :func:`tinyconv.functional.{name}`."
    return method


for _name in ("add", "sub", "mul", "div", "matmul", "pow"):
    _sign = "truediv" if _name == "div" else _name  # what Python calls the operator
    setattr(Tensor, f"__{_sign}__", _operator(_name))
    setattr(Tensor, f"__r{_sign}__", _operator(_name, swapped=True))
for _name in ("exp", "log", "sum", "mean", "max", "reshape", "flatten", "transpose", "permute", "relu", "to", "__neg__",
              "__getitem__"):
    setattr(Tensor, _name, _operator(_name.strip("_")))
for _type in (float, int, bool):  # of a tensor of size 1
    setattr(Tensor, f"__{_type.__name__}__", lambda self, _type=_type: _type(self.item()))


def tensor(array: Any, device: str | Device = "cpu", requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor with a copy of ``array`` (anything NumPy understands, or a Tensor) on ``device``.

    ``dtype``: by default real numbers become float32, whatever their precision, and integers int64 (labels).  Only
    float32 and float64 tensors can require a gradient.  Raises TypeError for other kinds of data, ValueError for an
    unknown device."""
    source = np.asarray(array)
    kind = np.dtype(dtype if dtype is not None else np.float32 if source.dtype.kind == "f" else np.int64)
    if source.dtype.kind not in "fiub" or kind not in (np.float32, np.float64, np.int64):
        what = kind if source.dtype.kind in "fiub" else source.dtype
        raise TypeError(f"tensor: cannot hold {what}; use float32, float64 or int64")
    if requires_grad and kind.kind != "f":
        raise TypeError(f'tensor: only floating tensors can require a gradient, not {kind}; pass dtype="float32"')
    target = find_device(device)
    return Tensor(target.upload(source.astype(kind, copy=False)), target, requires_grad)
