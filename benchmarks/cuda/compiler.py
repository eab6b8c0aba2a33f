"""Compiles a ``.cu`` for an architecture as CuPy's RawModule would.

RawModule asks the driver which GPU there is, so without a driver it cannot be used.  One level below it, CuPy hands
text and options to NVRTC, the compiler as a library, which needs no GPU; this is done here, with the options that CuPy
adds.  CuPy's own search decides which NVRTC is loaded: the one from Python's package index (nvidia-cuda-nvrtc), if it
is installed, else the system's.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from . import toolkit

_CUPY_ADDS = ("-ftz=true", "--device-as-default-execution-space")


@dataclass(frozen=True)
class Program:
    """What one compilation is given, the architecture aside.  ``file`` is for messages."""

    file: str
    code: str
    options: tuple[str, ...]


def unavailable() -> str | None:
    """Why nothing can be compiled and read here; None if it can."""
    try:
        version()
        toolkit.nvdisasm()
    except toolkit.ToolMissing as error:
        return str(error)
    return None


@cache
def version() -> str:
    """The compiler's, as it writes it into what it compiles: ``13.5.37``."""
    empty = Program("empty.cu", 'extern "C" __global__ void nothing() {}', ())
    found = re.search(rb"release [\d.]+, V([\d.]+)", build(empty, 80))
    return found[1].decode() if found else "unknown"


def library() -> str:
    """The file of the NVRTC that was loaded, as Linux knows it; elsewhere nothing."""
    version()
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return next((line.split()[-1] for line in lines if "libnvrtc.so" in line), "")


@cache
def _nvrtc() -> Any:
    """CuPy's compiler module, with an NVRTC behind it."""
    advice = 'pip install "cupy-cuda13x[ctk]" nvidia-cuda-nvrtc nvidia-cuda-nvdisasm'
    if importlib.util.find_spec("cupy") is None:
        raise toolkit.ToolMissing(f"CuPy is not installed: {advice}")
    from cupy.cuda import compiler
    from cupy_backends.cuda.libs import nvrtc

    try:
        nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise toolkit.ToolMissing(f"CuPy finds no NVRTC ({str(error).splitlines()[0]}): {advice}") from None
    return compiler


def build(program: Program, architecture: int) -> bytes:
    """A cubin.  Raises ToolMissing, or RuntimeError with the compiler's messages."""
    compiler = _nvrtc()
    options = (*program.options, *_CUPY_ADDS, f"-arch=sm_{architecture}")
    try:
        binary, _ = compiler._NVRTCProgram(program.code, program.file, method="cubin").compile(options)
    except compiler.CompileException as error:
        raise RuntimeError(f"{program.file} does not compile for sm_{architecture}: {error}") from None
    return binary
