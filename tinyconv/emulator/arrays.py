"""``cupy.ndarray``, without arithmetic: shape, strides and a place in device memory.

The bookkeeping of views is NumPy's: each array holds a NumPy array over the same bytes, which nobody else sees.  Copies
and fills go through a stream, as all work does.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from . import devices, pinned, pool, streams
from .blocks import POISON, Memory, enqueue, enqueue_write
from .memory import MemoryPointer
from .queues import Queue, host_waits_for


class Flags:
    """The flags that CuPy's arrays have, which are fewer than NumPy's."""

    def __init__(self, host: np.ndarray, owner: bool) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = host.flags.c_contiguous, host.flags.f_contiguous, owner
        self.forc = host.flags.forc


class ndarray:  # noqa: N801  (CuPy's name)
    """An array of the current device."""

    __hash__ = None  # type: ignore[assignment]  # as in CuPy, since == compares elements there
    __array_ufunc__ = None  # NumPy's operators hand over to ours, which refuse

    def __init__(self, shape: Any, dtype: Any = float, memptr: MemoryPointer | None = None,
                 strides: tuple[int, ...] | None = None, order: str = "C") -> None:
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        pointer = memptr or pool.alloc(math.prod(shape) * dtype.itemsize)
        block, offset = pointer.mem.block, pointer.ptr - pointer.mem.ptr
        self.host_elements: np.ndarray = np.ndarray(shape, dtype, block.bytes[:block.size], offset, strides,
                                            "F" if order == "F" else "C")
        self._memory = pointer.mem
        self.base: ndarray | None = None  # of a view: the array that it is a view of

    @classmethod
    def _over(cls, host: np.ndarray, mem: Memory, base: ndarray) -> ndarray:
        """A view: the elements ``host``, in the memory ``mem``."""
        self = cls.__new__(cls)
        self.host_elements, self._memory, self.base = host, mem, base if base.base is None else base.base
        return self

    shape = property(lambda self: self.host_elements.shape)
    dtype = property(lambda self: self.host_elements.dtype)
    size = property(lambda self: self.host_elements.size)
    nbytes = property(lambda self: self.host_elements.nbytes)
    ndim = property(lambda self: self.host_elements.ndim)
    strides = property(lambda self: self.host_elements.strides)
    itemsize = property(lambda self: self.host_elements.itemsize)
    flags = property(lambda self: Flags(self.host_elements, self.base is None))
    T = property(lambda self: self.transpose())

    @property
    def device(self) -> devices.Device:
        return self._memory.device

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._memory, self.host_elements.ctypes.data - self._memory.ptr)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "descr": self.dtype.descr, "version": 3,
                "strides": None if self.flags.c_contiguous else self.strides, "data": (self.data.ptr, False),
                "stream": streams.get_current_stream(self.device.id).ptr or 1}  # 1: the legacy default stream

    def __len__(self) -> int:
        return len(self.host_elements)

    def __repr__(self) -> str:
        return f"<emulated cupy.ndarray {self.shape} {self.dtype} on device {self.device.id}>"  # CuPy's copies it here

    def reshape(self, *shape: Any) -> ndarray:
        host = self.host_elements.reshape(*shape)
        if host.size and not np.may_share_memory(host, self.host_elements):
            raise ValueError(f"reshape of shape {self.shape} and strides {self.strides} to {host.shape} would copy, "
                             "and an engine copies by its own kernels: make the array contiguous first")
        return self._over(host, self._memory, self)

    def ravel(self) -> ndarray:
        return self.reshape(-1)

    def view(self, dtype: Any = None) -> ndarray:
        return self._over(self.host_elements.view(dtype or self.dtype), self._memory, self)

    def transpose(self, *axes: Any) -> ndarray:
        return self._over(self.host_elements.transpose(*axes), self._memory, self)

    def __getitem__(self, key: Any) -> ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        if not all(k is None or k is Ellipsis or isinstance(k, (int, np.integer, slice)) and not isinstance(k, bool)
                   for k in keys):
            raise NotImplementedError(f"indexing by {key!r} is a kernel of CuPy; an engine launches its own.  "
                                      "Integers, slices, None and Ellipsis make views")
        keys = keys if any(k is Ellipsis for k in keys) else (*keys, Ellipsis)  # so that NumPy returns a view
        return self._over(self.host_elements[keys], self._memory, self)

    def get(self, stream: streams.Stream | None = None, order: str = "C", out: np.ndarray | None = None,
            blocking: bool = True) -> np.ndarray:
        """A copy on the host; unless ``blocking``, it holds poison until the stream has come to the copy."""
        if out is None:
            out = np.empty(self.shape, self.dtype, order="F" if order == "F" else "C")
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype or out.shape != self.shape:
            raise TypeError(f"get: out must be a numpy.ndarray of shape {self.shape} and dtype {self.dtype}")
        source, target = self.host_elements, out
        if not blocking:
            target[...] = np.frombuffer(bytes([POISON]) * self.itemsize, self.dtype)[0]
        queue = self._queue(stream)
        enqueue(queue, f"get() of {self!r}", lambda: np.copyto(target, source), reads=[self._memory.block])
        if blocking:
            host_waits_for(queue.now())
        return out

    def set(self, arr: np.ndarray, stream: streams.Stream | None = None) -> None:
        """Copy from the host; a pinned ``arr`` is read when the stream comes to it, any other one now."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.host_elements.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        target, source = self.host_elements, arr if pinned.is_pinned(arr) else arr.copy()
        enqueue_write(self._queue(stream), f"set() of {self!r}", self._memory.block, target,
                      lambda: np.copyto(target, source))

    def _queue(self, stream: streams.Stream | None) -> Queue:
        """Where a copy to or from the host goes: CuPy makes the array's device current for it, so that the default
        stream is that device's."""
        stream = stream or streams.get_current_stream()
        with self.device:
            return stream.queue

    def fill(self, value: Any) -> None:
        if self.device.id != devices.current_id():
            raise ValueError(f"Array device must be same as the current device: array device = {self.device.id} while "
                             f"current = {devices.current_id()}")
        target = self.host_elements
        enqueue_write(streams.queue_of(None), f"fill() of {self!r}", self._memory.block, target,
                      lambda: target.fill(value))

    def __deepcopy__(self, memo: dict[int, Any]) -> ndarray:
        """In the current stream, as CuPy's: whoever computed the array in another must have ordered the two."""
        with self.device:
            twin = empty(self.shape, self.dtype)
            if self.flags.c_contiguous:  # what was never written is so in the twin, too
                twin.data.copy_from_device_async(self.data, self.nbytes)
            else:
                source, target = self.host_elements, twin.host_elements
                enqueue_write(streams.queue_of(None), f"a deep copy of {self!r}", twin._memory.block, target,
                              lambda: np.copyto(target, source), [self._memory.block])
        return twin

    def __dlpack__(self, **options: Any) -> Any:
        return np.asarray(_Shared(self)).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # a CPU: on a GPU it would be (2, the device), but what is emulated lies in the host's memory

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")


class _Shared:
    """An array's memory as others see it: whoever holds this holds the block."""

    def __init__(self, array: ndarray) -> None:
        self.memory, self.__array_interface__ = array._memory, array.host_elements.__array_interface__


def _refuse(name: str, reason: str) -> None:
    def refused(self: ndarray, *_: Any) -> NoReturn:
        raise NotImplementedError(f"{name} on {self!r}: {reason}")
    setattr(ndarray, name, refused)


for _name in ("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()):
    for _prefix in ("", "r", "i"):
        _refuse(f"__{_prefix}{_name}__", "arithmetic is a kernel of CuPy, and an engine launches its own")
for _name in ("neg pos abs invert eq ne lt le gt ge setitem".split()):
    _refuse(f"__{_name}__", "this is a kernel of CuPy, and an engine launches its own")
for _name in ("bool int float index iter contains".split()):
    _refuse(f"__{_name}__", "this waits for the device and copies behind the reader's back; call get()")


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """``cupy.empty``: on the current device."""
    return ndarray(shape, dtype, order=order)


def moveaxis(a: ndarray, source: Any, destination: Any) -> ndarray:
    """``cupy.moveaxis``: a view."""
    return a._over(np.moveaxis(a.host_elements, source, destination), a._memory, a)
