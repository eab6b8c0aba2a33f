"""Device memory: blocks, the pool that reuses them, and pointers into them.

A block that is handed out holds poison (all bits set: NaN for a float, -1 for an integer), put there just before the
first work that touches it, so that whoever counts on zeros, or on what its former owner left, finds out.

Reuse is what makes a missing order dangerous: as in CuPy, a block that is freed while a stream still has work queued on
it may be handed out again at once.  So a block keeps its history (see queues.py) from owner to owner.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import devices, limits, pinned, settings, streams
from .errors import CUDARuntimeError, OutOfMemoryError
from .hostmemory import at
from .queues import History, Queue

POISON = 0xFF
UNIT = 512  # bytes: CuPy rounds sizes up to this, and aligns to it
SHELVED = 1 << 30  # bytes of freed blocks that may wait on a shelf (CuPy keeps all of them)
_MOST = 1024  # blocks on a shelf

Shelf = deque["Block"]


class Block:
    """A piece of device memory.  Its "device address" is where it lies on the host."""

    def __init__(self, size: int, device_id: int, pool: MemoryPool | None, shelf: Shelf | None) -> None:
        self.device_id, self.pool, self.shelf = device_id, pool, shelf
        self.capacity = round_up(size)
        room = np.empty(self.capacity + UNIT, np.uint8)
        self.bytes = room[-room.ctypes.data % UNIT:][:self.capacity]
        self.ptr: int = self.bytes.ctypes.data
        self.history = History()
        self.flags: np.ndarray | None = None  # in check mode, for each byte: 1 once something was written there
        self.lend(size)

    def lend(self, size: int) -> None:
        self.size = size  # bytes asked for by the present owner
        self.touched = False  # by work that the present owner put into a queue
        if self.flags is None and settings.current().check:
            self.flags = np.zeros(self.capacity, np.uint8)

    def poison(self) -> None:
        self.bytes.fill(POISON)
        if self.flags is not None:
            self.flags.fill(0)

    def mark(self, elements: np.ndarray) -> None:
        """Note that these elements, which lie in this block, have been written."""
        if self.flags is not None:
            shape, strides = (*elements.shape, elements.itemsize), (*elements.strides, 1)
            np.ndarray(shape, np.uint8, self.flags, elements.ctypes.data - self.ptr, strides).fill(1)

    def flags_of(self, address: int, size: int) -> np.ndarray | None:
        return None if self.flags is None else self.flags[address - self.ptr:][:size]


_lent: dict[int, Block] = {}  # by address; adding and removing are single steps, safe in any thread and finalizer


class Memory:
    """A block on loan (CuPy's ``PooledMemory``): when the last array and pointer into it are gone, it goes back."""

    def __init__(self, block: Block) -> None:
        self.block, self.ptr, self.size, self.device_id = block, block.ptr, block.size, block.device_id
        _lent[block.ptr] = block

    def __del__(self) -> None:
        _lent.pop(self.ptr, None)
        if self.block.shelf is not None:
            self.block.shelf.append(self.block)

    @property
    def device(self) -> devices.Device:
        return devices.Device(self.device_id)


def lent(device_id: int) -> list[Block]:
    """The blocks in use on a device."""
    return [block for block in list(_lent.values()) if block.device_id == device_id]


def block_at(address: int, device_id: int) -> Block | None:
    """The block in use on this device that ``address`` points into."""
    return next((block for block in lent(device_id) if block.ptr <= address < block.ptr + max(block.size, 1)), None)


def enqueue(queue: Queue, name: str, run: Callable[[], None], reads: Sequence[Block] = (),
            writes: Sequence[Block] = ()) -> None:
    """Put work into a queue, and before it the poisoning of blocks that it is the first to touch."""
    for block in (*reads, *writes):
        if not block.touched:
            queue.push(f"the first use of newly allocated memory, by {name},", block.poison, writes=[block])
            block.touched = True
    queue.push(name, run, reads, writes)


def enqueue_write(queue: Queue, name: str, block: Block, target: np.ndarray, write: Callable[[], None]) -> None:
    """Put into a queue what writes ``target``, all of it, in ``block``, from the host."""
    def run() -> None:
        write()
        block.mark(target)
    enqueue(queue, name, run, writes=[block])


class MemoryPool:
    """``cupy.cuda.MemoryPool``: a freed block waits on the shelf of its device and of the stream that was current when
    it was allocated, and serves the next allocation of its (rounded) size there."""

    def __init__(self, allocator: Any = None) -> None:
        self._shelves: dict[tuple[int, int], Shelf] = {}
        self._limit = 0

    def malloc(self, size: int) -> MemoryPointer:
        device_id, used = devices.current_id(), self.used_bytes()
        if size + used > (self._limit or limits.MEMORY):
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {used:,} bytes, limit "
                                   f"set to: {self._limit or limits.MEMORY:,} bytes).")
        key = device_id, streams.get_current_stream().ptr
        shelf = self._shelves.setdefault(key, deque(maxlen=_MOST))
        block = _reuse(shelf, size)
        if block is None:
            _trim(shelf)
            block = Block(size, device_id, self, shelf)
        return MemoryPointer(Memory(block), 0)

    def used_bytes(self) -> int:
        return sum(block.capacity for block in lent(devices.current_id()) if block.pool is self)

    def free_bytes(self) -> int:
        return sum(block.capacity for (device_id, _), shelf in self._shelves.items() for block in list(shelf)
                   if device_id == devices.current_id())

    def total_bytes(self) -> int:
        return self.used_bytes() + self.free_bytes()

    def free_all_blocks(self, stream: streams.Stream | None = None) -> None:
        for (_, pointer), shelf in self._shelves.items():
            if stream is None or stream.ptr == pointer:
                shelf.clear()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self._limit = int(limits.MEMORY * fraction) if fraction is not None else size or 0

    def get_limit(self) -> int:
        return self._limit


def malloc(size: int) -> MemoryPointer:
    """Memory without a pool (what ``cupy.cuda.set_allocator(None)`` chooses)."""
    return MemoryPointer(Memory(Block(size, devices.current_id(), None, None)), 0)


default_pool = MemoryPool()
_allocator: Callable[[int], MemoryPointer] = default_pool.malloc


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    """``cupy.cuda.set_allocator``."""
    global _allocator
    _allocator = allocator or malloc


def get_allocator() -> Callable[[int], MemoryPointer]:
    return _allocator


def alloc(size: int) -> MemoryPointer:
    """``cupy.cuda.alloc``."""
    return _allocator(size)


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


def part(block: Block, address: int, size: int) -> np.ndarray:
    """``size`` bytes of ``block`` from ``address`` on; all of them must lie in it."""
    start = address - block.ptr
    if start < 0 or size < 0 or start + size > block.size:
        raise CUDARuntimeError("cudaErrorInvalidValue", f"{size} bytes from byte {start} on reach beyond a block of "
                               f"{block.size} bytes")
    return block.bytes[start:start + size]


def round_up(size: int) -> int:
    return max(-(-size // UNIT), 1) * UNIT


def _reuse(shelf: Shelf, size: int) -> Block | None:
    """The block of the right size that was freed last: the one that CuPy would take, and the most treacherous."""
    for block in reversed(list(shelf)):
        if block.capacity == round_up(size):
            shelf.remove(block)
            block.lend(size)
            return block
    return None


def _trim(shelf: Shelf) -> None:
    """Let go of what has waited longest."""
    held = sum(block.capacity for block in list(shelf))
    while held > SHELVED:
        held -= shelf.popleft().capacity


def _address(mem: Any) -> int:
    return (mem.value or 0) if isinstance(mem, ctypes.c_void_p) else mem
