"""``cupy.cuda.MemoryPool``: freed blocks serve again.

Reuse is what makes a missing order dangerous: as in CuPy, a block that is freed while a stream still has work queued on
it may be handed out again at once.  So a block keeps its history (see queues.py) from owner to owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import devices, limits, streams
from .blocks import Block, Memory, Shelf, lent, round_up
from .errors import OutOfMemoryError
from .memory import MemoryPointer
from .queues import LOCK

SHELVED = 1 << 30  # bytes of freed blocks that may wait on a shelf (CuPy keeps all of them)
_MOST = 1024  # blocks on a shelf
_COUNTED = 1 << 20  # bytes: to count what is in use takes a walk over all blocks, which a smaller one is not worth


class MemoryPool:
    """``cupy.cuda.MemoryPool``: a freed block waits on the shelf of its device and of the stream that was current when
    it was allocated, and serves the next allocation of its (rounded) size there."""

    def __init__(self, allocator: Any = None) -> None:
        self._shelves: dict[tuple[int, int], Shelf] = {}
        self._limit = 0

    def malloc(self, size: int) -> MemoryPointer:
        self._check_limit(size)
        device_id = devices.current_id()
        key = device_id, streams.get_current_stream().ptr
        with LOCK:  # two threads must not take the same block
            if key not in self._shelves:
                self._let_go()
                self._shelves[key] = deque(maxlen=_MOST)
            shelf = self._shelves[key]
            block = _reuse(shelf, size)
            if block is None:
                _trim(shelf)
                block = Block(size, device_id, shelf)
            return MemoryPointer(Memory(block), 0)

    def _let_go(self) -> None:
        """The shelves of streams that are gone serve nobody any more."""
        for key, shelf in list(self._shelves.items()):
            if not streams.alive(key[1]):
                shelf.clear()
                if all(block.shelf is not shelf for block in lent(key[0])):
                    del self._shelves[key]

    def _check_limit(self, size: int) -> None:
        if not self._limit and size < _COUNTED:
            return
        used, limit = self.used_bytes(), self._limit or limits.MEMORY
        if size + used > limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {used:,} bytes, limit "
                                   f"set to: {limit:,} bytes).")

    def used_bytes(self) -> int:
        mine = {id(shelf) for shelf in self._shelves.values()}
        return sum(block.capacity for block in lent(devices.current_id()) if id(block.shelf) in mine)

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


def malloc(size: int) -> MemoryPointer:
    """Memory without a pool (what ``cupy.cuda.set_allocator(None)`` chooses)."""
    return MemoryPointer(Memory(Block(size, devices.current_id(), None)), 0)


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
