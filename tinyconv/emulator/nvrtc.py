"""NVRTC, NVIDIA's run-time compiler, through ctypes: CUDA C++ in; PTX or machine code (a cubin) out.  No driver needed.

The library comes from PyPI (``nvidia-cuda-nvrtc``) or from an installed CUDA toolkit.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_REMEDY = 'install NVRTC with: pip install "tinyconv[emulator]"'


class EmulatorUnavailable(RuntimeError):
    """NVRTC or a C++ compiler is missing; the message says what to install."""


class CompileError(RuntimeError):
    """NVRTC refused a source; the message is its log, with file names and lines."""


@cache
def library_path() -> Path | None:
    """Where NVRTC lies: in a wheel, else in a CUDA toolkit, else None.  It is not loaded."""
    for entry in sys.path:
        for pattern in ("nvidia/cu*/lib/libnvrtc.so.*", "nvidia/cuda_nvrtc/lib/libnvrtc.so.*"):
            found = sorted(Path(entry).glob(pattern))
            if found:
                return found[-1]
    for folder in (os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"):
        found = sorted(Path(folder).glob("lib*/libnvrtc.so.*")) if folder else []
        if found:
            return found[-1]
    name = ctypes.util.find_library("nvrtc")
    return Path(name) if name else None


def identity() -> str | None:
    """Which NVRTC this is, for names in a cache: one that was exchanged has another size or date."""
    path = library_path()
    if path is None:
        return None
    return f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" if path.is_file() else str(path)


def include_folders() -> list[Path]:
    """CUDA's own headers beside the library, for ``#include <cuda_fp16.h>`` and the like."""
    library = library_path()
    if library is None:
        return []
    candidates = [library.parent.parent / "include", library.parents[2] / "cuda_runtime" / "include"]
    return [folder for folder in candidates if (folder / "cuda_runtime.h").is_file()]


def ptx(code: str, file: str, arch: int, options: Sequence[str]) -> str:
    """The PTX of ``code``.  ``file`` is its name in messages and in line tables; ``arch``: 80 for sm_80."""
    return _compile(code, file, [f"--gpu-architecture=compute_{arch}", *options], "PTX").decode().rstrip("\0")


def cubin(code: str, file: str, arch: int, options: Sequence[str]) -> bytes:
    """The machine code of ``code``: an ELF file, as ptxas would write it."""
    return _compile(code, file, [f"--gpu-architecture=sm_{arch}", *options], "CUBIN")


@cache
def load() -> Any:
    """The library.  Raises EmulatorUnavailable."""
    path = library_path()
    if path is None:
        raise EmulatorUnavailable(f"NVRTC (libnvrtc.so) was not found; {_REMEDY}")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise EmulatorUnavailable(f"NVRTC at {path} cannot be loaded ({error}); {_REMEDY}") from error
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def _compile(code: str, file: str, options: list[str], kind: str) -> bytes:
    library, program = load(), ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), file.encode(), 0, None, None)
    if status != 0:
        raise CompileError(f"{file}: NVRTC: {library.nvrtcGetErrorString(status).decode()}")
    try:
        options = [*options, *(f"-I{folder}" for folder in include_folders())]
        status = library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*(option.encode() for option in options)))
        if status != 0:
            log = _output(library, program, "ProgramLog").decode(errors="replace").rstrip("\0").strip()
            raise CompileError(f"{file}: NVRTC: {library.nvrtcGetErrorString(status).decode()}, with options "
                               f"{' '.join(options)}\n{log}")
        return _output(library, program, kind)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _output(library: Any, program: ctypes.c_void_p, kind: str) -> bytes:
    """What ``nvrtcGet<kind>`` returns, after asking ``nvrtcGet<kind>Size`` how long it is."""
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{kind}")(program, buffer)
    return buffer.raw
