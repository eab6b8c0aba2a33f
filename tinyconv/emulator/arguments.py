"""The arguments of a launch, each held against the parameter that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from . import devices, memory, module
from .arrays import ndarray
from .errors import CUDARuntimeError

_C_TYPE = {"i8": "an 8-bit integer", "i16": "a 16-bit integer", "i32": "int", "i64": "long long", "f32": "float",
           "f64": "double", "pointer": "a pointer"}


@dataclass(frozen=True)
class Argument:
    """``value`` is what the kernel gets.  A pointer comes with the block that it points into, and with the bytes of
    that block which the kernel may touch."""

    value: np.generic
    name: str
    block: memory.Block | None = None
    nbytes: int = 0
    read_only: bool = False
    array: np.ndarray | None = None  # the elements, for pictures; it also keeps the bytes alive until the launch ran

    def region(self) -> Any:
        """The memory that the launch may touch through this argument, if any."""
        if self.block is None:
            return None
        return module.Region(int(self.value), self.nbytes, self.name)


def check(kernel: str, parameters: list[Any], args: tuple[Any, ...], read_only: set[int]) -> list[Argument]:
    """The arguments, or an error that names the kernel, the argument and the remedy."""
    if not isinstance(args, tuple):
        raise TypeError(f"{kernel}: args is a {type(args).__name__}; it must be a tuple")
    if len(args) != len(parameters):
        raise TypeError(f"{kernel}: {len(args)} arguments given, and the kernel takes {len(parameters)}; CuPy would "
                        "not notice")
    return [_check_one(f"{kernel}: argument {i}", f"argument {i}", parameter.kind, value, i in read_only)
            for i, (parameter, value) in enumerate(zip(parameters, args, strict=True))]


def _check_one(where: str, name: str, kind: str, value: Any, read_only: bool) -> Argument:
    if isinstance(value, ndarray):
        return _array(where, name, kind, value, read_only)
    if isinstance(value, np.generic):
        if kind == "pointer":
            return _address(where, name, value, read_only)
        if _kind(value) != kind:
            raise TypeError(f"{where} is a NumPy {value.dtype}, and the kernel takes {_C_TYPE[kind]}; CuPy would pass "
                            f"the {value.itemsize} bytes as they are")
        return Argument(value, name)
    _refuse(where, kind, value)


def _array(where: str, name: str, kind: str, value: ndarray, read_only: bool) -> Argument:
    if kind != "pointer":
        raise TypeError(f"{where} is an array, and the kernel takes {_C_TYPE[kind]}")
    current = devices.current_id()
    if value.device.id != current:
        raise CUDARuntimeError("cudaErrorIllegalAddress", f"{where} lives on device {value.device.id}, and the launch "
                               f"is on device {current}: copy it there first, or launch with Device({value.device.id})")
    if not value.flags.c_contiguous:
        raise ValueError(f"{where}, of shape {value.shape} and strides {value.strides}, is not contiguous; CuPy would "
                         "pass its address and forget the strides: copy it first")
    return Argument(np.uint64(value.data.ptr), f"{name}, {value.shape} {value.dtype}", value.data.mem.block,
                    value.nbytes, read_only, value.host_elements)


def _address(where: str, name: str, value: np.generic, read_only: bool) -> Argument:
    """A raw address: null, or in a block of the current device, of which the kernel then may touch all."""
    if value.dtype.kind not in "iu" or value.itemsize != 8:
        raise TypeError(f"{where} is a NumPy {value.dtype}, and the kernel takes a pointer: pass an array, or an "
                        "address as np.uint64")
    if not value:
        return Argument(np.uint64(0), name)
    address = int(value)
    block = memory.block_at(address, devices.current_id())
    if block is None:
        raise CUDARuntimeError("cudaErrorIllegalAddress", f"{where} is the address {address:#x}, and no memory of "
                               f"device {devices.current_id()} in use lies there")
    return Argument(np.uint64(address), f"{name}, a block of {block.size} bytes", block, block.size, read_only,
                    block.bytes[:block.size])


def _kind(value: np.generic) -> str:
    return f"{'f' if value.dtype.kind == 'f' else 'i'}{8 * value.itemsize}"


def _refuse(where: str, kind: str, value: Any) -> NoReturn:
    if isinstance(value, (bool, int, float)):
        raise TypeError(f"{where} is the Python number {value!r}, which CuPy passes as 64 bits, and the kernel takes "
                        f"{_C_TYPE[kind]}: wrap it in a NumPy scalar type")
    raise TypeError(f"{where} is a {type(value).__module__}.{type(value).__name__}; pass a cupy.ndarray or a NumPy "
                    "scalar")
