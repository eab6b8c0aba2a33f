"""Dealing out a kernel's scratch memory: one block of bytes, cut into arrays."""

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: each array starts on a cache line of its own


def nbytes(*arrays: tuple[tuple[int, ...], Any]) -> int:
    """The bytes that :func:`deal` needs for arrays of these (shape, dtype)."""
    return sum(_padded(math.prod(shape) * np.dtype(dtype).itemsize) for shape, dtype in arrays)


def deal(scratch: np.ndarray, *arrays: tuple[tuple[int, ...], Any]) -> list[np.ndarray]:
    """Uninitialised arrays of these (shape, dtype), one after the other in ``scratch``."""
    result, at = [], 0
    for shape, dtype in arrays:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        result.append(scratch[at:at + size].view(dtype).reshape(shape))
        at += _padded(size)
    return result


def prepared(kept, key, space, fill):
    """``space`` as ``fill(space)`` made it; or, unless ``kept`` is None, what was kept under ``key``, made at the first
    call in memory of its own."""
    if kept is None:
        fill(space)
        return space
    if key not in kept:
        block = np.empty(space.nbytes + _ALIGNMENT, np.uint8)
        kept[key], = deal(block[-block.ctypes.data % _ALIGNMENT:], (space.shape, space.dtype))
        fill(kept[key])
    return kept[key]


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
