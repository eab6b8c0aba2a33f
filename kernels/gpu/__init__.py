"""Launching CUDA kernels: what every ``cuda.py`` stands on.

A layer's kernels are in files of CUDA C++, which CuPy compiles for the GPU at hand when the first of them is launched,
and keeps on disk.  The same file serves float32 and, for gradient checks, float64: it is written for ``REAL``.

A launch is checked where CuPy does not look: arrays must be contiguous (CuPy passes the address and forgets the
strides), and numbers must have the type that the kernel takes (CuPy passes a Python int as 64 bits, whatever the kernel
reads).  So a Python int travels as a 32-bit ``int``, a float (NumPy's float64 is one) as ``REAL``, None as a null
pointer, any other NumPy scalar as it is.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_KERNELS = Path(__file__).parents[1]
OPTIONS = ("-std=c++17", f"-I{_KERNELS}", "-lineinfo")
_REAL = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_NULL = np.uint64(0)

_cupy: Any = None  # CuPy, or what stands in for it: `use` is told by tinyconv/cuda.py


def use(cupy: Any) -> None:
    """Take ``cupy`` for all launches from now on: the package itself, or the emulator's stand-in."""
    global _cupy
    if cupy is not _cupy:
        _module.cache_clear()
        _function.cache_clear()
        _cupy = cupy


class Source:
    """One ``.cu`` file.  Make it with ``Source(__file__, "lrn.cu")`` in the ``cuda.py`` beside it."""

    def __init__(self, beside: str, file: str) -> None:
        self.path = Path(beside).with_name(file)

    def launch(self, kernel: str, grid: tuple[int, ...] | int, block: tuple[int, ...] | int, *arguments: Any,
               real: Any = np.float32, shared: int = 0, **macros: int | str) -> None:
        """Run ``kernel`` on a grid of blocks of threads (an int: one dimension) in the current stream.

        ``real``: the dtype that ``REAL`` stands for; ``shared``: bytes of dynamic shared memory per block, at most 48
        KiB; ``macros`` are defined while the file is compiled, each combination once."""
        dtype = np.dtype(real)
        function = _function(self.path, self.options(dtype, **macros), kernel)
        function(_three(grid), _three(block), tuple(_argument(kernel, i, a, dtype) for i, a in enumerate(arguments)),
                 shared_mem=shared)

    def options(self, real: Any = np.float32, **macros: int | str) -> tuple[str, ...]:
        """What the compiler is told, the architecture aside."""
        return (*OPTIONS, f"-DREAL={_REAL[np.dtype(real)]}", *(f"-D{name}={value}" for name, value in macros.items()))


def blocks(count: int, per_block: int) -> int:
    """How many blocks cover ``count`` elements, ``per_block`` each; at least one."""
    return max(1, -(-count // per_block))


@cache
def _headers() -> str:
    """A hash over all headers."""
    digest = hashlib.sha256()
    for path in sorted(_KERNELS.rglob("*.cuh")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _module(path: Path, options: tuple[str, ...]) -> Any:
    text = path.read_text(encoding="utf-8")
    # The name is for error messages and profilers.  CuPy keeps on disk what it compiled, by source and options; that a
    # header has changed it only sees if the source does.
    code = f'#line 1 "{path.parent.name}/{path.name}"\n{text}\n// headers: {_headers()}\n'
    return _cupy.RawModule(code=code, options=options)


@cache
def _function(path: Path, options: tuple[str, ...], kernel: str) -> Any:
    """The compiled kernel (CuPy's RawKernel)."""
    return _module(path, options).get_function(kernel)


def _three(size: tuple[int, ...] | int) -> tuple[int, ...]:
    return (size, 1, 1) if isinstance(size, int) else (*size, 1, 1)[:3]


def _argument(kernel: str, position: int, value: Any, real: np.dtype[Any]) -> Any:
    if value is None:
        return _NULL
    if isinstance(value, (bool, int)):
        if not -2 ** 31 <= value < 2 ** 31:
            raise OverflowError(f"{kernel}: argument {position} is {value}, too large for the kernel's 32-bit int")
        return np.int32(value)
    if isinstance(value, float):
        return real.type(value)
    if not isinstance(value, np.generic) and not value.flags.c_contiguous:
        raise ValueError(f"{kernel}: argument {position}, of shape {value.shape} and strides {value.strides}, is not "
                         "contiguous; pass it through Device.dense first")
    return value
