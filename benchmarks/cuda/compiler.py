"""Compiles a ``.cu`` for an architecture as CuPy's RawModule would, and keeps the result.

RawModule asks the driver which GPU there is, so without a driver it cannot be used.  One level below it, CuPy hands
text and options to NVRTC, the compiler as a library, which needs no GPU; this is done here, with the options that CuPy
adds.  CuPy's own search decides which NVRTC is loaded: the one that Python's package index has
(nvidia-cuda-nvrtc), if installed, else the system's.

Cubins and their listings are kept in ``$TINYCONV_CACHE`` (``~/.cache/tinyconv`` if not set), under a digest of all that
goes in: text, headers, options, architecture, and the compiler's version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinyconv.safefile import make_folder

from . import cubin, sass, toolkit

KERNELS = Path(__file__).parents[2] / "kernels"
_CUPY_ADDS = ("-ftz=true", "--device-as-default-execution-space")



@dataclass(frozen=True)
class Program:
    """What one compilation is given, the architecture aside.  ``file`` is for messages."""

    file: str
    code: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A compiled kernel."""

    resources: cubin.Resources
    instructions: tuple[sass.Instruction, ...]


def compile(program: Program, architecture: int) -> dict[str, Function]:
    """The kernels of ``program`` by name.  Raises ToolMissing, or RuntimeError with the compiler's messages."""
    binary, listing = _kept(program, architecture)
    instructions = sass.parse(listing)
    return {name: Function(resources, tuple(instructions[name]))
            for name, resources in cubin.read(binary).items() if name in instructions}


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
    found = re.search(rb"release [\d.]+, V([\d.]+)", _build(empty, 80))
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


def _build(program: Program, architecture: int) -> bytes:
    compiler = _nvrtc()
    options = (*program.options, *_CUPY_ADDS, f"-arch=sm_{architecture}")
    try:
        binary, _ = compiler._NVRTCProgram(program.code, program.file, method="cubin").compile(options)
    except compiler.CompileException as error:
        raise RuntimeError(f"{program.file} does not compile for sm_{architecture}: {error}") from None
    return binary + b"\0"  # CuPy drops the last byte, as if it ended a text; nvdisasm misses it


def _kept(program: Program, architecture: int) -> tuple[bytes, str]:
    path = _folder() / f"{_digest(program, architecture)}.cubin"
    listing = path.with_suffix(".json")
    if not listing.exists():
        binary = _build(program, architecture)
        _keep(path, binary)
        _keep(listing, sass.disassemble(binary).encode())  # last: where there is one, there is the cubin
    return path.read_bytes(), listing.read_text(encoding="utf-8")


def _keep(path: Path, content: bytes) -> None:
    """Complete or not at all, and two processes may do it at once."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(content)
    os.replace(temporary.name, path)


def _digest(program: Program, architecture: int) -> str:
    parts = (version(), str(architecture), program.file, program.code, *program.options, _headers())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def _headers() -> str:
    """All of them, for a kernel may include any."""
    return "\0".join(path.read_text(encoding="utf-8") for path in sorted(KERNELS.rglob("*.cuh")))


@cache
def _folder() -> Path:
    root = os.environ.get("TINYCONV_CACHE") or Path.home() / ".cache" / "tinyconv"
    folder = Path(root) / "cubins"
    make_folder(folder)
    return folder
