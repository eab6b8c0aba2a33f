"""Pinned (page-locked) memory of the host: what a GPU can copy from and to while the program goes on.

A copy from ordinary memory is staged: by the time the call returns, the memory has been read.  A copy from pinned
memory reads it *later*, whenever the stream gets there; a program that refills the buffer too early corrupts the copy.
The emulator does the same, so that it shows.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

UNIT = 512  # bytes: CuPy's pool rounds sizes up to this, so np.frombuffer needs its `count`

_pinned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # buffers by address


def alloc_pinned_memory(size: int) -> Any:
    """``cupy.cuda.alloc_pinned_memory``: a buffer with ``ptr`` and ``size()``; ``np.frombuffer(it, dtype, count)``
    makes an array of it."""
    rounded = max(-(-size // UNIT), 1) * UNIT
    buffer = type("PinnedMemoryPointer", (ctypes.c_uint8 * rounded,), {"size": lambda self: rounded})()
    buffer.ptr = ctypes.addressof(buffer)
    ctypes.memset(buffer.ptr, 0xFF, rounded)
    _pinned[buffer.ptr] = buffer
    return buffer


def is_pinned(array: np.ndarray) -> bool:
    """Whether ``array`` lies in a pinned buffer."""
    address = array.ctypes.data
    return any(buffer.ptr <= address < buffer.ptr + buffer.size() for buffer in list(_pinned.values()))
