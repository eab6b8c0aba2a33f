"""A memory pool: blocks that go back on a shelf instead of back to the operating system.

Every fresh page that the system hands out costs a page fault (about 0.25 us per 4 KiB, plus the zeroing), and a
training step at batch 128 touches gigabytes.  The sizes repeat from step to step, so a block that an array no longer
uses serves the next array of about its size, and a warm step asks the system for nothing.

An array keeps its block on loan through its ``base``: NumPy views (slices, transposes, reshapes) share that base, so
a block returns to the shelf only when the last view of it is gone.  Scratch memory nobody watches: a launch takes it
back when its kernel has returned.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: one cache line, and one AVX-512 vector
SMALL = 4096  # bytes: below one page, malloc reuses memory by itself and is quicker than the pool


class Block:
    """Memory that the pool owns: ``size`` bytes of it count, from ``address`` on, a boundary of ALIGNMENT."""

    __slots__ = ("address", "bytes", "memory", "size")

    def __init__(self, memory: np.ndarray, size: int) -> None:
        self.memory, self.size = memory, size
        self.address = -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        first = self.address - memory.ctypes.data
        self.bytes = memory[first:first + size]


class Loan:
    """A block in use.  NumPy arrays made from it hold it as their base; when they are gone it returns the block."""

    __slots__ = ("__array_interface__", "block", "pool")

    def __init__(self, pool: Pool, block: Block, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.pool, self.block = pool, block
        self.__array_interface__ = {
            "shape": shape, "typestr": dtype.str, "version": 3, "data": (block.address, False)}

    def __del__(self) -> None:
        self.pool.take_back(self.block)

    def view(self, array: np.ndarray) -> np.ndarray:
        """The same elements as ``array``, which lies in this block, without keeping the block on loan."""
        if array.size == 0:
            return array
        memory = self.block.memory
        return np.ndarray(array.shape, array.dtype, memory, array.ctypes.data - memory.ctypes.data, array.strides)


def borrowed_from(array: Any) -> Loan | None:
    """The loan that ``array``, or what it is a view of, lives on; None if its memory is not a pool's."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, Loan) else None


class Pool:
    """Hands out uninitialised arrays and takes their memory back.  Safe to use from several threads.

    ``allocate`` makes a new block of so many bytes."""

    def __init__(self, allocate: Callable[[int], np.ndarray] = lambda nbytes: np.empty(nbytes, np.uint8)) -> None:
        self._allocate = allocate
        self._lock = threading.Lock()
        self._shelf: dict[int, list[Block]] = {}  # size -> blocks that wait
        # What comes back is left at the door.  It may come at any moment, even while the garbage collector runs in the
        # middle of our own critical section; appending to a deque is one step that nothing can come between.
        self._returned: deque[Block] = deque()
        self._held = self.peak = 0  # bytes of all blocks, lent and waiting, and the most that it ever was

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """An uninitialised C-contiguous array of ``shape``, its first element on a 64-byte boundary."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALL:
            return np.empty(shape, dtype)
        return np.asarray(Loan(self, self._borrow(_round_up(nbytes)), shape, dtype))

    def lend(self, lent: list[Block], size: int) -> np.ndarray:
        """``size`` bytes or more, of a block that joins the list ``lent``: whoever has that takes it back.  This is
        quicker than an array which tells by itself when nobody holds it any more."""
        block = self._borrow(_round_up(size))
        lent.append(block)
        return block.bytes

    def take_back(self, block: Block) -> None:
        self._returned.append(block)

    @property
    def shelved(self) -> int:
        """Bytes that wait for their next use."""
        with self._lock:
            self._tidy()
            return self._waiting()

    @property
    def lent(self) -> int:
        """Bytes in use."""
        waiting = self.shelved
        return self._held - waiting

    def release(self) -> None:
        """Give every waiting block back to the operating system."""
        with self._lock:
            self._tidy()
            self._held -= self._waiting()
            self._shelf.clear()

    def _waiting(self) -> int:
        return sum(block.memory.nbytes for blocks in self._shelf.values() for block in blocks)

    def _borrow(self, size: int) -> Block:
        with self._lock:
            self._tidy()
            fit = size
            while fit <= size + size // 4:  # a much larger block would be missed soon by the array that it fits
                if blocks := self._shelf.get(fit):
                    return blocks.pop()
                fit = _round_up(fit + 1)
            block = Block(self._allocate(size + ALIGNMENT), size)
            self._held += block.memory.nbytes
            self.peak = max(self.peak, self._held)
            return block

    def _tidy(self) -> None:
        """Put what was left at the door on the shelf."""
        while self._returned:
            block = self._returned.popleft()
            self._shelf.setdefault(block.size, []).append(block)


def _round_up(nbytes: int) -> int:
    """Eight size classes per power of two: sizes that are nearly equal share blocks, at most 1/8 is wasted."""
    step = max(1 << max(nbytes.bit_length() - 4, 0), ALIGNMENT)
    return -(-nbytes // step) * step
