"""Device memory, block by block: what lies in it, who has used it, and what of it was ever written.

A block that is handed out holds poison (all bits set: NaN for a float, -1 for an integer), put there just before the
first work that touches it, so that whoever counts on zeros, or on what its former owner left, finds out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from . import devices, settings
from .errors import CUDARuntimeError
from .queues import History, Queue

POISON = 0xFF
UNIT = 512  # bytes: CuPy rounds sizes up to this, and aligns to it

Shelf = deque["Block"]


class Block:
    """A piece of device memory.  Its "device address" is where it lies on the host."""

    def __init__(self, size: int, device_id: int, shelf: Shelf | None) -> None:
        self.device_id, self.shelf = device_id, shelf  # where it waits for its next owner, if it has a pool
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
    """A block on loan (``cupy.cuda.PooledMemory``): when the last array and pointer into it are gone, it goes back."""

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
    if (block := _lent.get(address)) and block.device_id == device_id:  # most point to the first byte
        return block
    return next((block for block in lent(device_id) if block.ptr <= address < block.ptr + max(block.size, 1)), None)


def enqueue(queue: Queue, name: str, run: Callable[[], None], reads: Sequence[Block] = (),
            writes: Sequence[Block] = ()) -> None:
    """Put work into a queue, and before it the poisoning of blocks that it is the first to touch."""
    for block in (*reads, *writes):
        if not block.touched:
            queue.push(f"the first use of newly allocated memory, by {name},", block.poison, writes=[block])
            block.touched = True
    queue.push(name, run, reads, writes)


def enqueue_write(queue: Queue, name: str, block: Block, target: np.ndarray, write: Callable[[], None],
                  reads: Sequence[Block] = ()) -> None:
    """Put into a queue what writes ``target``, all of it, in ``block``, from the host or from other blocks."""
    def run() -> None:
        write()
        block.mark(target)
    enqueue(queue, name, run, reads, [block])


def part(block: Block, address: int, size: int) -> np.ndarray:
    """``size`` bytes of ``block`` from ``address`` on; all of them must lie in it."""
    start = address - block.ptr
    if start < 0 or size < 0 or start + size > block.size:
        raise CUDARuntimeError("cudaErrorInvalidValue", f"{size} bytes from byte {start} on reach beyond a block of "
                               f"{block.size} bytes")
    return block.bytes[start:start + size]


def round_up(size: int) -> int:
    return max(-(-size // UNIT), 1) * UNIT
