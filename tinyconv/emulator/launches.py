"""``cupy.RawModule`` and ``cupy.RawKernel``: what is checked before a kernel runs, and how it is put into a stream.

CuPy hands the bytes of the arguments to the driver, and the driver believes them.  Here each is held against the
kernel's own signature, which the compiled code tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import arguments, build, devices, limits, memory, orders, settings, streams
from .errors import CUDADriverError
from .module import Access, Kernel, Module


@dataclass(frozen=True)
class Launch:
    """One launch, everything about it settled, ready to run or to be traced."""

    name: str
    module: RawModule
    kernel: Kernel
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    arguments: list[arguments.Argument]
    check: bool
    order: str
    seed: int

    def run(self) -> None:
        for watcher in watchers:
            watcher(self)
        regions = arguments.regions(self.arguments)

        def launch(order: str) -> None:
            self.kernel.launch(self.grid, self.block, self._values, self.shared, regions, order, self.seed)

        orders.run(self.name, launch, regions, self.order)
        if not self.check:
            self._assume_written()

    def trace(self, of_block: tuple[int, int, int]) -> list[Access]:
        """What one block reads and writes; memory is left as it was."""
        regions = arguments.regions(self.arguments)
        with orders.restored(regions):
            return self.kernel.trace(self.grid, self.block, self._values, self.shared, regions, of_block)

    @property
    def _values(self) -> list[np.generic]:
        return [argument.value for argument in self.arguments]

    def _assume_written(self) -> None:
        """In fast mode nobody sees what a kernel writes; a checked launch that comes later must not take it for
        memory that was never written."""
        for argument in self.arguments:
            if argument.block is not None and not argument.read_only:
                flags = argument.block.flags_of(argument.start, argument.nbytes)
                if flags is not None:
                    flags.fill(1)


watchers: list[Callable[[Launch], None]] = []  # called just before each launch runs


@contextmanager
def watched(watcher: Callable[[Launch], None]) -> Iterator[None]:
    """Within this context, ``watcher`` sees each launch just before it runs."""
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)


class RawModule:
    """``cupy.RawModule``: CUDA C++ with several kernels, compiled when the first of them is asked for."""

    def __init__(self, code: str | None = None, *, path: str | None = None, options: tuple[str, ...] = (),
                 backend: str = "nvrtc") -> None:
        if code is None or path is not None or backend != "nvrtc":
            raise NotImplementedError("RawModule: the emulator takes CUDA C++ as `code`, compiled by backend 'nvrtc'")
        named = re.match(r'#line 1 "([^"]+)"\n', code)  # so the source may tell which file it is
        self.file = named[1] if named else "kernel.cu"
        self.code, self.options = code[named.end():] if named else code, options
        self._compiled: dict[tuple[int, bool], Module] = {}

    def source_line(self, file: str, line: int) -> str:
        """A line of the source, or of the header called ``file``, without indentation; empty if it is not found."""
        lines = self.code.splitlines() if file == Path(self.file).name else self._header(file)
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""

    def _header(self, name: str) -> list[str]:
        """The lines of the header called ``name`` (compiled code does not tell its folder) among those included."""
        headers = (text.partition("\n") for text in build._sources(self.code, self.options).split("\0")[1:])
        return next((text.splitlines() for path, _, text in headers if Path(path).name == name), [])

    def get_function(self, name: str) -> RawKernel:
        kernels = self.compiled().kernels
        if name not in kernels:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND", f"{self.file} has no kernel {name!r}; it has "
                                  f"{', '.join(kernels)}")
        return RawKernel(self, name)

    def compiled(self) -> Module:
        """The emulator's module for the mode and architecture that hold now."""
        now = settings.current()
        key = now.arch, now.check
        if key not in self._compiled:
            self._compiled[key] = Module(self.code, self.options, self.file, now.arch, now.check)
        return self._compiled[key]


class RawKernel:
    """``cupy.RawKernel``, as ``RawModule.get_function`` makes it."""

    def __init__(self, of: RawModule, name: str) -> None:
        self._module, self.name = of, name
        self._dynamic_limit: dict[int, int] = {}  # by device, since CUDA keeps it with the function of each

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0,
                 stream: streams.Stream | None = None) -> None:
        grid, block = _three("grid", grid), _three("block", block)
        self._check_size(grid, block)
        self._check_shared(shared_mem)
        queue = streams.queue_of(stream)
        if queue.device_id != devices.current_id():
            raise CUDADriverError("CUDA_ERROR_INVALID_HANDLE", f"{self.name}: {queue} cannot run a launch while device "
                                  f"{devices.current_id()} is current: enter `with Device({queue.device_id}):` first")
        checked = arguments.check(self.name, self._kernel.parameters, self._declared, args)
        now = settings.current()
        launch = Launch(self.name, self._module, self._kernel, grid, block, shared_mem, checked, now.check, now.order,
                        seed=queue.pushed)
        memory.enqueue(queue, f"kernel {self.name}", launch.run,
                       reads=[a.block for a in checked if a.block is not None and a.read_only],
                       writes=[a.block for a in checked if a.block is not None and not a.read_only])

    @property
    def _kernel(self) -> Kernel:
        return self._module.compiled().kernels[self.name]

    @cached_property
    def _declared(self) -> list[str]:
        """The parameters as the source declares them; fewer where a macro stands for some."""
        code = re.sub(r"//[^\n]*", "", self._module.code)
        found = re.search(rf"__global__[^;{{]*?\b{re.escape(self.name)}\s*\(([^)]*)\)", code)
        return [text.strip() for text in found[1].split(",")] if found else []

    def _check_size(self, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        for what, size, most in (("grid", grid, limits.MAX_GRID), ("block", block, limits.MAX_BLOCK)):
            if any(not 1 <= n <= m for n, m in zip(size, most, strict=True)):
                raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{self.name}: {what} is {size}; each number must be "
                                      f"at least 1, and at most as in {most}")
        threads = int(np.prod(block))
        if threads > self.max_threads_per_block:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{self.name}: block {block} has {threads} threads; this "
                                  f"kernel may have {self.max_threads_per_block}")
        if settings.current().check and limits.registers_of(threads, self.num_regs) > limits.MAX_REGISTERS:
            raise CUDADriverError(
                "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", f"{self.name}: {threads} threads of {self.num_regs} registers "
                f"need more than the {limits.MAX_REGISTERS} of a block: declare __launch_bounds__({threads})")

    def _check_shared(self, dynamic: int) -> None:
        if dynamic > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError(
                "CUDA_ERROR_INVALID_VALUE", f"{self.name}: shared_mem is {dynamic} bytes, and the kernel may have "
                f"{self.max_dynamic_shared_size_bytes} beside its {self.shared_size_bytes} static ones: set "
                "max_dynamic_shared_size_bytes first")

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        default = limits.STATIC_SHARED - self.shared_size_bytes
        return self._dynamic_limit.get(devices.current_id(), default)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        arch = settings.current().arch
        most = limits.ARCHITECTURES[arch].shared_optin - self.shared_size_bytes
        if not 0 <= size <= most:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{self.name}: {size} bytes of dynamic shared memory; a "
                                  f"block of this kernel can have {most} on sm_{arch}")
        self._dynamic_limit[devices.current_id()] = size

    @property
    def shared_size_bytes(self) -> int:
        return self._kernel.static_shared

    @property
    def num_regs(self) -> int:
        return self._kernel.registers

    @property
    def max_threads_per_block(self) -> int:
        return self._kernel.max_threads or limits.MAX_THREADS

    @property
    def attributes(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in (
            "max_threads_per_block", "shared_size_bytes", "num_regs", "max_dynamic_shared_size_bytes")}


def _three(what: str, size: tuple[int, ...]) -> tuple[int, int, int]:
    if not isinstance(size, tuple) or not 1 <= len(size) <= 3 or not all(type(n) is int for n in size):
        raise TypeError(f"{what} is {size!r}; it must be a tuple of one to three Python ints")
    x, y, z = (*size, 1, 1)[:3]
    return x, y, z
