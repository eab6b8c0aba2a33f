"""``cupy.RawModule`` and ``cupy.RawKernel``: what is checked before a kernel is put into a stream.

CuPy hands the bytes of the arguments to the driver, and the driver believes them.  Here each is held against the
kernel's own signature, which the compiled code and the source tell.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from . import arguments, build, devices, limits, settings, signature, streams
from .blocks import enqueue
from .errors import CUDADriverError
from .launches import Launch
from .module import Kernel, Module

_CUPY_ADDS = ("--device-as-default-execution-space", "-ftz=true")


class RawModule:
    """``cupy.RawModule``: CUDA C++ with several kernels, compiled when the first of them is asked for."""

    def __init__(self, code: str | None = None, *, path: str | None = None, options: tuple[str, ...] = (),
                 backend: str = "nvrtc") -> None:
        if code is None or path is not None or backend != "nvrtc":
            raise NotImplementedError("RawModule: the emulator takes CUDA C++ as `code`, compiled by backend 'nvrtc'")
        named = re.match(r'#line 1 "([^"]+)"\n', code)  # so the source may tell which file it is
        self.file = named[1] if named else "kernel.cu"
        self.code, self.options = code[named.end():] if named else code, (*options, *_CUPY_ADDS)
        self._compiled: dict[tuple[int, bool, int], Module] = {}
        self._functions: dict[str, RawKernel] = {}

    def get_function(self, name: str) -> RawKernel:
        kernels = self.compiled(settings.current()).kernels
        if name not in kernels:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND", f"{self.file} has no kernel {name!r}; it has "
                                  f"{', '.join(kernels)}")
        return self._functions.setdefault(name, RawKernel(self, name))

    def compiled(self, now: settings.Settings) -> Module:
        """The emulator's module, for one mode and architecture; each device has one, with variables of its own."""
        key = now.arch, now.check, devices.current_id()
        if key not in self._compiled:
            self._compiled[key] = Module(self.code, self.options, self.file, now.arch, now.check)
        return self._compiled[key]

    def source_line(self, file: str, line: int) -> str:
        """A line of the source, or of the header called ``file``, without indentation; empty if it is not found."""
        lines = self.code.splitlines() if file == Path(self.file).name else self._header(file)
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""

    def _header(self, name: str) -> list[str]:
        """The lines of the header called ``name`` (compiled code does not tell its folder) among those included."""
        headers = (text.partition("\n") for text in build._sources(self.code, self.options).split("\0")[1:])
        return next((text.splitlines() for path, _, text in headers if Path(path).name == name), [])


class RawKernel:
    """``cupy.RawKernel``, as ``RawModule.get_function`` makes it."""

    def __init__(self, of: RawModule, name: str) -> None:
        self._module, self.name = of, name
        self._dynamic_limit: dict[int, int] = {}  # by device, since CUDA keeps it with the function of each

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0,
                 stream: streams.Stream | None = None) -> None:
        now = settings.current()
        kernel = self._module.compiled(now).kernels[self.name]
        grid, block = limits.three(f"{self.name}: grid", grid), limits.three(f"{self.name}: block", block)
        limits.check_size(self.name, grid, block, kernel.max_threads)
        self._check_shared(kernel, shared_mem)
        if now.check and not kernel.max_threads:  # launch bounds make the compiler count
            limits.check_registers(self.name, block, lambda: kernel.registers)
        queue = self._queue(stream)
        checked = arguments.check(self.name, kernel.parameters, self._declared, args)
        launch = Launch(self.name, self._module, kernel, grid, block, shared_mem, checked, now.check, now.order,
                        seed=queue.pushed)
        enqueue(queue, f"kernel {self.name}", launch.run,
                reads=[a.block for a in checked if a.block is not None and a.read_only],
                writes=[a.block for a in checked if a.block is not None and not a.read_only])

    def _queue(self, stream: streams.Stream | None) -> streams.Queue:
        queue, current = streams.queue_of(stream), devices.current_id()
        if queue.device_id != current:
            raise CUDADriverError("CUDA_ERROR_INVALID_HANDLE", f"{self.name}: {queue} cannot run a launch while device "
                                  f"{current} is current: enter `with Device({queue.device_id}):` first")
        return queue

    @cached_property
    def _declared(self) -> list[arguments.Declaration]:
        """The parameters as the source declares them; fewer where a macro stands for some."""
        code = signature.without_comments(self._module.code)
        found = re.search(rf"__global__[^;{{]*?\b{re.escape(self.name)}\s*\(", code)
        texts = signature.split(signature.bracketed(code, found.end())) if found else []
        macros = dict(option[2:].split("=", 1) for option in self._module.options if re.match(r"-D\w+=", option))
        return [arguments.declaration(text, macros) for text in texts]

    def _check_shared(self, kernel: Kernel, dynamic: int) -> None:
        most = self._dynamic_limit.get(devices.current_id(), limits.STATIC_SHARED - kernel.static_shared)
        if dynamic > most:
            raise CUDADriverError(
                "CUDA_ERROR_INVALID_VALUE", f"{self.name}: shared_mem is {dynamic} bytes, and the kernel may have "
                f"{most} beside its {kernel.static_shared} static ones: set max_dynamic_shared_size_bytes first")

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._dynamic_limit.get(devices.current_id(), limits.STATIC_SHARED - self.shared_size_bytes)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        arch = settings.current().arch
        most = limits.ARCHITECTURES[arch].shared_optin - self.shared_size_bytes
        if not 0 <= size <= most:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{self.name}: {size} bytes of dynamic shared memory; a "
                                  f"block of this kernel can have {most} on sm_{arch}")
        self._dynamic_limit[devices.current_id()] = size

    @property
    def _kernel(self) -> Kernel:
        return self._module.compiled(settings.current()).kernels[self.name]

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
