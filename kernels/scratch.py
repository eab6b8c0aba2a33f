"""Scratch memory for kernels: several arrays in one block, which goes back when the kernel has returned."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .shapes import planned

_ALIGNMENT = 64  # bytes: each array starts on a cache line of its own
Spec = tuple[tuple[int, ...], Any]  # shape, dtype


def deal(borrow: Callable[[int], Any], *arrays: Spec) -> list[Any]:
    """Uninitialised arrays of these (shape, dtype), one after the other in the one block of bytes that ``borrow``,
    given a size, returns.  A kernel gets this as ``scratch``, with ``borrow`` filled in by its device."""
    places, size = _layout(arrays)
    block = borrow(size)
    return [block[begin:end].view(dtype).reshape(shape) for begin, end, shape, dtype in places]


@planned
def _layout(arrays: tuple[Spec, ...]) -> tuple[list[tuple[int, int, tuple[int, ...], Any]], int]:
    """(where each array begins and ends, its shape and dtype), and the size of all."""
    places, size = [], 0
    for shape, dtype in arrays:
        end = size + math.prod(shape) * np.dtype(dtype).itemsize
        places.append((size, end, shape, dtype))
        size = -(-end // _ALIGNMENT) * _ALIGNMENT
    return places, size


def wanted_by(kernel: Callable[..., None]) -> bool:
    """Whether a kernel has a parameter ``scratch``."""
    return "scratch" in inspect.signature(getattr(kernel, "py_func", kernel)).parameters


def prepared(kept, key, space, fill):
    """``space`` as ``fill(space)`` made it; or, unless ``kept`` is None, what was kept under ``key``, made at the first
    call in memory of its own."""
    if kept is None:
        fill(space)
        return space
    if key not in kept:
        made = own(space.shape, space.dtype)
        fill(made)
        kept[key] = made  # not before: another thread may look for it, and what is interrupted must not be found
    return kept[key]


def own(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array that lies as one of :func:`deal`, in memory of its own."""
    return deal(_aligned, (shape, dtype))[0]


def _aligned(size: int) -> np.ndarray:
    block = np.empty(size + _ALIGNMENT, np.uint8)
    return block[-block.ctypes.data % _ALIGNMENT:][:size]
