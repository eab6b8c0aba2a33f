"""A stand-in for CuPy: the part that tinyconv uses, on emulated devices, and stricter than CuPy.

Names and behaviour are CuPy 14's.  What CuPy lets pass and a GPU punishes at random is an error here, always:
arguments that do not fit the kernel (arguments.py), work in two streams that nothing orders (queues.py), results read
too early and memory read before it was written (poison; queues.py and blocks.py), launches beyond what a device holds
(rawkernel.py, limits.py).  Arithmetic on arrays is refused (arrays.py): tinyconv launches its own kernels.
"""

from __future__ import annotations

from types import SimpleNamespace

from . import devices, errors, memory, pinned, pool, runtime, streams
from .arrays import empty, moveaxis, ndarray
from .rawkernel import RawKernel, RawModule

__all__ = ["RawKernel", "RawModule", "cuda", "empty", "get_default_memory_pool", "moveaxis", "ndarray"]
__version__ = "14.0.0+emulated"


def get_default_memory_pool() -> pool.MemoryPool:
    return pool.default_pool


cuda = SimpleNamespace(
    Device=devices.Device, Stream=streams.Stream, Event=streams.Event, get_current_stream=streams.get_current_stream,
    get_elapsed_time=streams.get_elapsed_time, is_available=lambda: True, runtime=runtime,
    MemoryPool=pool.MemoryPool, MemoryPointer=memory.MemoryPointer, alloc=pool.alloc,
    get_allocator=pool.get_allocator, set_allocator=pool.set_allocator,
    alloc_pinned_memory=pinned.alloc_pinned_memory,
    driver=SimpleNamespace(CUDADriverError=errors.CUDADriverError),
    memory=SimpleNamespace(OutOfMemoryError=errors.OutOfMemoryError))
