"""Who still reads: arrays of a device that the queue of another one is going to copy.

The program has gone on; it may let such an array go, so that its block would be lent again, or change it in place.  So
the device holds on to it until the reading is done, and before it launches a kernel on that memory it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .device import Array


class Readers:
    """The (event, array) of copies that other queues have been asked for.  ``shares_memory`` compares two arrays."""

    def __init__(self, shares_memory: Callable[[Array, Array], bool]) -> None:
        self._shares_memory = shares_memory
        self._open: list[tuple[Any, Array]] = []

    def add(self, event: Any, array: Array) -> None:
        """``array`` has been read when ``event`` is done."""
        self._open.append((event, array))

    def __len__(self) -> int:
        return len(self._open)

    def let_go(self) -> None:
        """Forget what has been read."""
        self._open = [(event, array) for event, array in self._open if not event.done]

    def of(self, arrays: Sequence[Any]) -> list[Any]:
        """The events to wait for before these arrays may change."""
        if not self._open:
            return []
        self.let_go()
        return [event for event, array in self._open if any(self._shares_memory(array, other) for other in arrays)]
