"""Who still reads: arrays of a device that the queue of another one is going to copy.

The program has gone on; it may let such an array go, so that its block would be lent again, or change it in place.  So
the device holds on to it until the reading is done, and before it launches a kernel that writes there it waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from .device import Array


def may_change(kernel: str, arrays: Sequence[Array]) -> Sequence[Array]:
    """The arguments of a kernel that it writes to and that may have been there before.

    Kernels of layers only ever fill what was made for them, and nobody can be reading that yet.  Those of elements
    write to the last argument, which may be a gradient that grows; an update, to all that it likes."""
    if kernel.startswith("update."):
        return arrays
    return arrays[-1:] if kernel.startswith("elementwise.") else ()


class Readers:
    """The (event, array) of copies that other queues have been asked for.  ``shares_memory`` compares two arrays."""

    def __init__(self, shares_memory: Callable[[Array, Array], bool]) -> None:
        self._shares_memory = shares_memory
        self._open: list[tuple[Any, Array]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, event: Any, array: Array) -> None:
        """``array`` has been read when ``event`` is done."""
        self.let_go()
        with self._lock:
            self._open.append((event, array))

    def let_go(self) -> None:
        """Forget what has been read."""
        if self._open:
            with self._lock:
                self._open = [(event, array) for event, array in self._open if not event.done]

    def of(self, arrays: Sequence[Array]) -> list[Any]:
        """The events to wait for before these arrays change."""
        self.let_go()
        return [event for event, array in self._open if any(self._shares_memory(array, other) for other in arrays)]
