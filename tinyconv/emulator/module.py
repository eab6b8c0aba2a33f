"""CUDA kernels as Python objects that run on the CPU.

>>> module = Module(code, options=("-std=c++17",), file="scale.cu", arch=80, check=True)        # doctest: +SKIP
>>> module.kernels["scale"].launch((1, 1, 1), (32, 1, 1), [address, np.float32(2)],             # doctest: +SKIP
...                                regions=[Region(address, x.nbytes, "x")])
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import tempfile
import threading
from _signal import getsignal  # type: ignore[import-not-found]
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import build, limits
from .cubin import read
from .operation import kernel_symbol
from .translate import KernelInfo

ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}


class EmulatorError(RuntimeError):
    """What a kernel did that it must not do; the message names kernel, source line, block and thread."""


class Parameter(NamedTuple):
    name: str
    kind: str  # "pointer", "i8", "i16", "i32", "i64", "f32", "f64" (signs are not distinguished), "struct"
    nbytes: int
    written: bool = True  # it may point to an array that the kernel writes to


class Access(NamedTuple):
    """One thread's access to memory in a traced block."""

    line: int
    space: str  # "global" or "shared"
    write: bool
    nbytes: int
    warp: int
    occurrence: int  # how often its thread had been at this instruction before: the same in lanes that go together
    lane: int
    address: int  # global: absolute; shared: from the start of the block's shared memory
    file: str


@dataclass
class Region:
    """Global memory that a launch may touch.  With ``initialised=False`` a read is an error until something wrote
    there: a launch that is given this object, or whoever sets flags in ``written`` (one per byte)."""

    address: int
    nbytes: int
    name: str
    initialised: bool = True
    written: np.ndarray | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.written = None if self.initialised else np.zeros(self.nbytes, np.uint8)


class Module:
    """The kernels of one file of CUDA C++, compiled with ``options`` for compute capability ``arch`` (80 for sm_80).

    Its ``__device__`` variables are its own.  With ``check`` every access is checked, which costs a factor of about
    twenty.  Raises :class:`nvrtc.CompileError`,
    :class:`nvrtc.EmulatorUnavailable`, :class:`translate.TranslationError`."""

    def __init__(self, code: str, options: Sequence[str] = (), file: str = "kernel.cu", arch: int = 80,
                 check: bool = False) -> None:
        self.code, self.options, self.file, self.arch, self.check = code, tuple(options), file, arch, check
        self.flushes = build.flushes(self.options)
        path, infos = build.kernels(code, self.options, file, arch, check)
        runtime = _runtime()
        library = _library(path)
        self.kernels = {info.name: Kernel(self, info, library, runtime) for info in infos}

    @cached_property
    def _registers(self) -> dict[str, int]:
        found = read(build.cubin(self.code, self.options, self.file, self.arch))
        return {name: kernel.registers for name, kernel in found.items()}

    @cached_property
    def _checked(self) -> Module:
        return self if self.check else Module(self.code, self.options, self.file, self.arch, True)


class Kernel:
    """One kernel of a :class:`Module`."""

    def __init__(self, module: Module, info: KernelInfo, library: ctypes.CDLL, runtime: ctypes.CDLL) -> None:
        self.name = info.name
        self.parameters = [Parameter(name, kind, size, is_written) for (name, kind), (_, size), is_written in
                           zip(info.parameters, info.places, info.written, strict=True)]
        self.static_shared = info.static_shared
        self.max_threads = info.max_threads
        self._module, self._info, self._library, self._runtime = module, info, library, runtime
        self._function = ctypes.cast(library[kernel_symbol(info.name)], ctypes.c_void_p)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} of {self._module.file}>"

    @property
    def registers(self) -> int:
        """Per thread, as ptxas allocates them.  The first question compiles the file to machine code."""
        return self._module._registers[self.name]

    def launch(self, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: Sequence[Any], shared: int = 0,
               regions: Sequence[Region] = (), order: str = "forward", seed: int = 0) -> None:
        """Run all threads of ``grid`` blocks of ``block`` threads.  ``arguments``: NumPy scalars, pointers as
        np.uint64; ``shared``: bytes of dynamic shared memory; ``regions``: in check mode, all the global memory that
        may be touched; ``order``, in which threads and blocks take their turns: "forward", "reverse" or "shuffled" (by
        ``seed``).

        Raises EmulatorError."""
        self._run(grid, block, arguments, shared, regions, order, seed, -1)

    def trace(self, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: Sequence[Any], shared: int = 0,
              regions: Sequence[Region] = (), of_block: tuple[int, int, int] = (0, 0, 0)) -> list[Access]:
        """Run block ``of_block`` alone, in check mode, and return its accesses in the order in which they were made."""
        if not self._module.check:
            return self._module._checked.kernels[self.name].trace(grid, block, arguments, shared, regions, of_block)
        x, y, z = of_block
        self._run(grid, block, arguments, shared, regions, "forward", 0, x + grid[0] * (y + grid[1] * z))
        count = ctypes.c_uint64()
        records = self._runtime.emulator_trace(ctypes.byref(count))
        sites = ctypes.cast(self._library.sites, ctypes.POINTER(_Site))
        return [_access(record, sites[record.site]) for record in records[:count.value]]

    def _run(self, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: Sequence[Any], shared: int,
             regions: Sequence[Region], order: str, seed: int, only_block: int) -> None:
        if order not in ORDERS:
            raise ValueError(f"{self.name}: order is {order!r}; it must be one of {', '.join(ORDERS)}")
        self._check_limits(grid, block, shared)
        packed = self._pack(arguments)
        table = self._regions(regions) if self._module.check else (_Region * 0)()
        request = _Request(self._function, self.name.encode(), ctypes.cast(self._library.sites, ctypes.c_void_p),
                           packed, len(packed), _Dim3(*grid), _Dim3(*block), self.static_shared, shared,
                           self._info.local_nbytes, self._info.meets, self._module.check, _interruptible(),
                           self._module.flushes,
                           ORDERS[order], seed & 0xFFFFFFFF, only_block, table, len(table))
        message = ctypes.create_string_buffer(2048)
        outcome = self._runtime.emulator_launch(ctypes.byref(request), message, len(message))
        if outcome != _DONE:
            error = KeyboardInterrupt if outcome == _INTERRUPTED else EmulatorError
            raise error(message.value.decode(errors="replace"))

    def _check_limits(self, grid: tuple[int, int, int], block: tuple[int, int, int], shared: int) -> None:
        """What the driver would refuse.  Registers are only counted where they can be too many."""
        threads = block[0] * block[1] * block[2]
        for what, size, most in (("block", block, limits.MAX_BLOCK), ("grid", grid, limits.MAX_GRID)):
            if any(not 1 <= extent <= limit for extent, limit in zip(size, most, strict=True)):
                self._refuse(f"a {what} of {size}; each extent must be from 1 to {most}")
        most_threads = self.max_threads or limits.MAX_THREADS
        if threads > most_threads:
            self._refuse(f"a block of {block} has {threads} threads; "
                         f"{'its __launch_bounds__ allow' if self.max_threads else 'the limit is'} {most_threads}")
        most_shared = limits.ARCHITECTURES[self._module.arch].shared_optin
        if self.static_shared + shared > most_shared:
            self._refuse(f"{self.static_shared} bytes of static and {shared} of dynamic shared memory; "
                         f"sm_{self._module.arch} gives a block {most_shared}")
        if self._module.check and not self.max_threads and threads > limits.MAX_REGISTERS // 256:
            needed = limits.registers_of(threads, self.registers)
            if needed > limits.MAX_REGISTERS:
                self._refuse(f"{threads} threads with {self.registers} registers each need {needed}; a block has "
                             f"{limits.MAX_REGISTERS}: use smaller blocks, or __launch_bounds__")

    def _refuse(self, why: str) -> None:
        raise EmulatorError(f"{self.name} ({self._module.file}): cannot be launched: {why}")

    def _pack(self, arguments: Sequence[Any]) -> bytes:
        """The arguments as the block of bytes that the kernel reads."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.name}: takes {len(self.parameters)} arguments "
                            f"({', '.join(p.name for p in self.parameters)}), got {len(arguments)}")
        packed = b""
        for argument, parameter, (offset, size) in zip(arguments, self.parameters, self._info.places, strict=True):
            value = np.asarray(argument).tobytes()
            if len(value) != size:
                raise TypeError(f"{self.name}: {parameter.name} is of kind {parameter.kind} and has {size} bytes, got "
                                f"{argument!r} of {len(value)}")
            packed = packed.ljust(offset, b"\0") + value
        return packed

    def _regions(self, regions: Sequence[Region]) -> ctypes.Array[_Region]:
        """Those of the caller and the file's own arrays in global and constant memory."""
        rows = [_Region(region.address, region.nbytes, region.name.encode(),
                        region.written.ctypes.data if region.written is not None else None) for region in regions]
        variable = ctypes.cast(self._library.variables, ctypes.POINTER(_Variable))
        index = 0
        while variable[index].name:
            rows.append(_Region(variable[index].address, variable[index].nbytes, variable[index].name, None))
            index += 1
        return (_Region * len(rows))(*rows)


def _interruptible() -> bool:
    """Whether Ctrl-C shall end a launch made now: where it would raise KeyboardInterrupt, in the main thread.
    (signal.getsignal makes an enum of the answer, which takes two microseconds.)"""
    return (threading.current_thread() is threading.main_thread()
            and getsignal(signal.SIGINT) is signal.default_int_handler)


def _access(record: _Record, site: _Site) -> Access:
    return Access(site.line, "shared" if record.shared else "global", site.kind in _WRITES, record.nbytes,
                  record.thread // 32, record.occurrence, record.thread % 32, record.address, site.file.decode())


def _library(path: Path) -> ctypes.CDLL:
    """The shared object at ``path``; one that keeps something between launches is loaded anew for each module, as CUDA
    does, so it must be another file each time."""
    library = ctypes.CDLL(str(path))
    if not ctypes.c_int.in_dll(library, "keeps_state").value:
        return library
    with tempfile.NamedTemporaryFile(prefix="tinyconv-", suffix=".so") as copy:
        shutil.copyfile(path, copy.name)
        return ctypes.CDLL(copy.name)


@cache
def _runtime() -> ctypes.CDLL:
    """The runtime, loaded so that the shared objects of kernels find its functions."""
    library = ctypes.CDLL(str(build.runtime()), mode=ctypes.RTLD_GLOBAL)
    library.emulator_trace.restype = ctypes.POINTER(_Record)
    return library


# What runtime.h and device.h declare, field by field.

_DONE, _INTERRUPTED = 0, 2  # launch.cpp's Outcome
_WRITES = (3, 5, 6)  # of device.h's Kind: Write, AtomicWrite, Atomic


class _Dim3(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in "xyz"]


class _Site(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("line", ctypes.c_uint32), ("nbytes", ctypes.c_uint16),
                ("kind", ctypes.c_uint8), ("space", ctypes.c_uint8), ("scope", ctypes.c_uint8)]


class _Variable(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("address", ctypes.c_uint64), ("nbytes", ctypes.c_uint64)]


class _Region(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint64), ("nbytes", ctypes.c_uint64), ("name", ctypes.c_char_p),
                ("written", ctypes.c_void_p)]


class _Record(ctypes.Structure):
    _fields_ = [("site", ctypes.c_uint32), ("thread", ctypes.c_uint32), ("occurrence", ctypes.c_uint32),
                ("nbytes", ctypes.c_uint32), ("address", ctypes.c_uint64), ("shared", ctypes.c_uint32)]


class _Request(ctypes.Structure):
    _fields_ = [("kernel", ctypes.c_void_p), ("name", ctypes.c_char_p), ("sites", ctypes.c_void_p),
                ("parameters", ctypes.c_char_p), ("parameters_nbytes", ctypes.c_uint64), ("grid", _Dim3),
                ("block", _Dim3),
                ("static_shared", ctypes.c_uint32), ("dynamic_shared", ctypes.c_uint32),
                ("local_nbytes", ctypes.c_uint32),
                ("meets", ctypes.c_uint32), ("check", ctypes.c_uint32), ("interruptible", ctypes.c_uint32),
                ("flush", ctypes.c_uint32), ("order", ctypes.c_uint32), ("seed", ctypes.c_uint32),
                ("only_block", ctypes.c_int64), ("regions", ctypes.POINTER(_Region)), ("region_count", ctypes.c_uint64)]
