"""The arguments of a launch, each held against the parameter that it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from types import MappingProxyType
from typing import Any

import numpy as np

from . import devices, module
from .arrays import ndarray
from .blocks import Block, block_at
from .errors import CUDARuntimeError

_C_TYPE = {"i8": "an 8-bit integer", "i16": "a 16-bit integer", "i32": "int", "i64": "long long", "f32": "float",
           "f64": "double", "pointer": "a pointer"}
_ELEMENTS = {
    "float": "float32", "double": "float64", "bool": "bool", "char": "int8", "signed char": "int8",
    "unsigned char": "uint8", "short": "int16", "unsigned short": "uint16", "int": "int32", "unsigned": "uint32",
    "unsigned int": "uint32", "long long": "int64", "unsigned long long": "uint64",
    **{name: name for name in ("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
                               "uint64")}}


@dataclass(frozen=True)
class Argument:
    """``value`` is what the kernel gets.  A pointer comes with the block that it points into, and with the bytes of
    that block which the kernel may touch: ``nbytes`` from the address ``start`` on."""

    value: np.generic | np.ndarray  # an array for a struct
    name: str  # of the parameter, as the source has it
    label: str  # for messages: position and name, shape and type
    block: Block | None = None
    start: int = 0
    nbytes: int = 0
    read_only: bool = False
    array: np.ndarray | None = None  # the elements, for pictures

    @property
    def end(self) -> int:
        return self.start + self.nbytes


def regions(arguments: list[Argument]) -> list[module.Region]:
    """The memory that a launch may touch.  Arguments that overlap, such as the input and the output of an update in
    place, share a region."""
    joined: list[Argument] = []
    for argument in sorted((a for a in arguments if a.nbytes), key=lambda a: a.start):
        if joined and argument.start < joined[-1].end:
            last = joined.pop()
            argument = replace(last, label=f"{last.label} and {argument.label}",
                               nbytes=max(last.end, argument.end) - last.start)
        joined.append(argument)
    return [_region(argument) for argument in joined]


def _region(argument: Argument) -> module.Region:
    region = module.Region(argument.start, argument.nbytes, argument.label)
    if argument.block is not None and argument.block.flags is not None:
        region.initialised, region.written = False, argument.block.flags_of(argument.start, argument.nbytes)
    return region


@dataclass(frozen=True)
class Declaration:
    """What the source tells of a parameter, and the compiled code does not."""

    name: str = ""  # empty where a macro hides it
    read_only: bool = False  # a pointer to const
    element: str = ""  # what a pointer points to, as NumPy calls it; empty where that has no name for it


def declaration(text: str, macros: Mapping[str, str] = MappingProxyType({})) -> Declaration:
    """From, for example, "const REAL* __restrict__ x" and {"REAL": "float"}; one word alone is a macro."""
    words = re.findall(r"\w+", text)
    target = " ".join(word for word in re.findall(r"\w+", text.partition("*")[0]) if word not in ("const", "volatile"))
    target = macros.get(target, target)
    return Declaration(words[-1] if len(words) > 1 else "", re.search(r"\bconst\b.*\*", text) is not None,
                       _ELEMENTS.get(target, "") if "*" in text else "")


def check(kernel: str, parameters: list[module.Parameter], declared: list[Declaration],
          args: tuple[Any, ...]) -> list[Argument]:
    """The arguments, or an error that names the kernel, the argument and the remedy.  ``declared``: of the first
    parameters, or of all."""
    if not isinstance(args, tuple):
        raise TypeError(f"{kernel}: args is a {type(args).__name__}; it must be a tuple")
    if len(args) != len(parameters):
        raise TypeError(f"{kernel}: {len(args)} arguments given, and the kernel takes {len(parameters)}; CuPy would "
                        "not notice")
    if len(declared) != len(parameters):  # a macro stands for several: what comes after it is anybody's guess
        declared = list(takewhile(lambda each: each.name, declared))
    unknown = [Declaration()] * (len(parameters) - len(declared))
    return [_Slot(kernel, i, parameter, told).fill(value)
            for i, (parameter, told, value) in enumerate(zip(parameters, [*declared, *unknown], args, strict=False))]


@dataclass(frozen=True)
class _Slot:
    """A parameter that waits for its argument."""

    kernel: str
    position: int
    parameter: module.Parameter
    declared: Declaration

    @property
    def kind(self) -> str:
        return self.parameter.kind

    @property
    def nbytes(self) -> int:
        return self.parameter.nbytes

    @property
    def read_only(self) -> bool:
        return self.declared.read_only or not self.parameter.written

    @property
    def name(self) -> str:
        return self.declared.name or f"argument {self.position}"

    @property
    def label(self) -> str:
        return f"argument {self.position}" + (f" ({self.declared.name})" if self.declared.name else "")

    @property
    def where(self) -> str:
        return f"{self.kernel}: {self.label}"

    @property
    def takes(self) -> str:
        if self.kind == "struct":
            return f"a struct of {self.nbytes} bytes: pass a NumPy array of one element with the struct's dtype"
        return _C_TYPE[self.kind]

    def fill(self, value: Any) -> Argument:
        if isinstance(value, ndarray):
            return self._array(value)
        if isinstance(value, np.ndarray) and self.kind == "struct":
            return self._struct(value)
        if isinstance(value, np.generic) and self.kind == "pointer":
            return self._address(value)
        if isinstance(value, np.generic):
            return self._number(value)
        if isinstance(value, (bool, int, float)):
            remedy = "" if self.kind == "struct" else ": wrap it in a NumPy scalar type"
            raise TypeError(f"{self.where} is the Python number {value!r}, which CuPy passes as 64 bits; the kernel "
                            f"takes {self.takes}{remedy}")
        raise TypeError(f"{self.where} is a {type(value).__module__}.{type(value).__name__}; pass a cupy.ndarray or a "
                        "NumPy scalar")

    def _number(self, value: np.generic) -> Argument:
        if f"{'f' if value.dtype.kind == 'f' else 'i'}{8 * value.itemsize}" != self.kind:
            raise TypeError(f"{self.where} is a NumPy {value.dtype}, and the kernel takes {self.takes}; CuPy would "
                            f"pass the {value.itemsize} bytes as they are")
        return Argument(value, self.name, self.label)

    def _struct(self, value: np.ndarray) -> Argument:
        if value.nbytes != self.nbytes:
            raise TypeError(f"{self.where} is a NumPy array of {value.nbytes} bytes, and the kernel takes {self.takes}")
        return Argument(value.copy(), self.name, self.label)

    def _array(self, value: ndarray) -> Argument:
        pointer, current = value.data, devices.current_id()
        if self.kind != "pointer":
            raise TypeError(f"{self.where} is an array, and the kernel takes {self.takes}")
        if pointer.device_id != current:
            raise CUDARuntimeError(
                "cudaErrorIllegalAddress", f"{self.where} lives on device {pointer.device_id}, and the launch is on "
                f"device {current}: copy it there first, or launch with Device({pointer.device_id})")
        if not value.flags.c_contiguous:
            raise ValueError(f"{self.where}, of shape {value.shape} and strides {value.strides}, is not contiguous; "
                             "CuPy would pass its address and forget the strides: copy it first")
        if self.declared.element not in ("", value.dtype.name):
            raise TypeError(f"{self.where} is an array of {value.dtype}, and the kernel reads {self.declared.element}; "
                            "CuPy would pass its address all the same")
        return Argument(np.uint64(pointer.ptr), self.name, f"{self.label}, {value.shape} {value.dtype}",
                        pointer.mem.block, pointer.ptr, value.nbytes, self.read_only, value.host_elements)

    def _address(self, value: np.generic) -> Argument:
        """A raw address: null, or in a block of the current device, of which the kernel then may touch all."""
        if value.dtype.kind not in "iu" or value.itemsize != 8:
            raise TypeError(f"{self.where} is a NumPy {value.dtype}, and the kernel takes a pointer: pass an array, or "
                            "an address as np.uint64")
        address, current = int(value), devices.current_id()
        if address == 0:
            return Argument(np.uint64(0), self.name, self.label)
        block = block_at(address, current)
        if block is None:
            raise CUDARuntimeError("cudaErrorIllegalAddress", f"{self.where} is the address {address:#x}, and no "
                                   f"memory of device {current} in use lies there")
        return Argument(np.uint64(address), self.name, f"{self.label}, in a block of {block.size} bytes", block,
                        block.ptr, block.size, self.read_only)
