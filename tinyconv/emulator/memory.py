"""``cupy.cuda.MemoryPointer``: places in device memory, and copies between them and the host."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from . import devices, pinned, streams
from .blocks import POISON, Block, Memory, enqueue, enqueue_write, part
from .hostmemory import at
from .queues import Queue


class MemoryPointer:
    """A place in device memory; it keeps the memory."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr + offset - self.mem.ptr)

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    @property
    def device(self) -> devices.Device:
        return self.mem.device

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: streams.Stream | None = None) -> None:
        """Copy ``size`` bytes from the same or another device (CuPy enables peer access for that by itself)."""
        copy(self.mem.block, self.ptr, src.mem.block, src.ptr, size, streams.queue_of(stream))

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        """Likewise, in the default stream."""
        self.copy_from_device_async(src, size, streams.Stream.null)

    def copy_from_host_async(self, mem: Any, size: int, stream: streams.Stream | None = None) -> None:
        """Copy from the host.  Only pinned memory is read later; other memory is read at once, as on hardware."""
        source, target = at(_address(mem), size), part(self.mem.block, self.ptr, size)
        source = source if pinned.is_pinned(source) else source.copy()
        enqueue_write(streams.queue_of(stream), "a copy from the host", self.mem.block, target,
                      lambda: np.copyto(target, source))

    def copy_to_host_async(self, mem: Any, size: int, stream: streams.Stream | None = None) -> None:
        """Copy to the host, where poison lies until the copy has run."""
        source, target = part(self.mem.block, self.ptr, size), at(_address(mem), size)
        target.fill(POISON)
        enqueue(streams.queue_of(stream), "a copy to the host", lambda: np.copyto(target, source),
                reads=[self.mem.block])

    def memset_async(self, value: int, size: int, stream: streams.Stream | None = None) -> None:
        target = part(self.mem.block, self.ptr, size)
        enqueue_write(streams.queue_of(stream), "memset", self.mem.block, target, lambda: target.fill(value))


def copy(to: Block, to_address: int, source: Block, source_address: int, size: int, queue: Queue) -> None:
    """Copy ``size`` bytes between places in two blocks, of any device."""
    target, origin = part(to, to_address, size), part(source, source_address, size)

    def run() -> None:
        np.copyto(target, origin)
        to.mark(target)
        known, copied = source.flags_of(source_address, size), to.flags_of(to_address, size)
        if known is not None and copied is not None:
            np.copyto(copied, known)  # what was never written is so in the copy, too

    enqueue(queue, f"a copy from device {source.device_id} to device {to.device_id}", run, reads=[source], writes=[to])


def _address(mem: Any) -> int:
    return (mem.value or 0) if isinstance(mem, ctypes.c_void_p) else mem
