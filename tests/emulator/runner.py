"""Runs a kernel on NumPy arrays, with nothing between the test and the emulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyconv.emulator.module import Kernel, Module, Region

ORDERS = ("forward", "reverse", "shuffled")


def kernel(code: str, name: str = "kernel", check: bool = True, arch: int = 80,
           options: tuple[str, ...] = ()) -> Kernel:
    """The kernel ``name`` of ``code``, which calls itself test.cu; the code's first line is line 1."""
    options = ("-std=c++17", "-lineinfo", *options)
    return Module(code.lstrip("\n"), options, file="test.cu", arch=arch, check=check).kernels[name]


def launch(kernel: Kernel, grid: tuple[int, ...] | int, block: tuple[int, ...] | int, *arguments: Any,
           **options: Any) -> None:
    """Run ``kernel``: arrays go in as pointers, and are the only memory that it may touch."""
    arrays = [(p.name, a) for p, a in zip(kernel.parameters, arguments, strict=True) if isinstance(a, np.ndarray)]
    values = [np.uint64(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in arguments]
    regions = [Region(a.ctypes.data, a.nbytes, name) for name, a in arrays]
    kernel.launch(three(grid), three(block), values, regions=regions, **options)


def three(size: tuple[int, ...] | int) -> tuple[int, int, int]:
    x, y, z, *_ = (*((size,) if isinstance(size, int) else size), 1, 1)
    return x, y, z
