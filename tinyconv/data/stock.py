"""Where the loader's uint8 images come from: made on the spot, from workers through a ring of slots, or kept.

All fill a float32 array with batch number k; `expect` is told of it before, so that workers can begin.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .cutter import Cutter
from .shared import SharedImages
from .squares import Squares
from .team import Team
from .transforms import AnyDraws, Transform


class Stock(Protocol):
    """An epoch's images."""

    def expect(self, k: int, indices: np.ndarray) -> None:
        """Batch k will consist of these images."""
        ...

    def fill(self, k: int, indices: np.ndarray, out: np.ndarray) -> None:
        """Write batch k to `out`: (n rows, crop, crop, 3) float32. Raises SampleError: an image cannot be read."""
        ...


class Fresh:
    """Images are made when they are asked for."""

    def __init__(self, cutter: Cutter, transform: Transform, draws: AnyDraws | None):
        self._cutter, self._transform, self._draws = cutter, transform, draws
        self._pixels = np.empty((cutter.side, cutter.side, 3), np.uint8)

    def expect(self, k: int, indices: np.ndarray) -> None:
        """Nobody could begin."""

    def fill(self, k: int, indices: np.ndarray, out: np.ndarray) -> None:
        """Cut and finish one after another."""
        for index, rows in _rows(indices, out, self._transform):
            self._cutter(index, self._pixels, self._draws, index)
            self._transform.finish(self._pixels, rows, self._draws, index)


class Ring:
    """A team makes whole batches, each in a slot of the shared memory; slots are used in turns.

    Back-pressure: batch k + slots is asked for when batch k is finished, so workers are ahead by that much at most."""

    def __init__(self, team: Team, memory: SharedImages, batch: int, transform: Transform, draws: AnyDraws | None):
        self._team, self._batch, self._transform, self._draws = team, batch, transform, draws
        self._slots = memory.array.reshape(-1, batch, *memory.array.shape[1:])
        self._tickets: dict[int, int] = {}

    def expect(self, k: int, indices: np.ndarray) -> None:
        """The slot of batch k must be free: batch k - slots was filled."""
        first = k % len(self._slots) * self._batch
        self._tickets[k] = self._team.ask(np.arange(first, first + len(indices)), indices, self._draws)

    def fill(self, k: int, indices: np.ndarray, out: np.ndarray) -> None:
        """Wait for the workers, and finish."""
        self._team.wait(self._tickets.pop(k))
        slot = self._slots[k % len(self._slots)]
        for place, (index, rows) in enumerate(_rows(indices, out, self._transform)):
            self._transform.finish(slot[place], rows, self._draws, index)


class Kept:
    """Central squares are made once, by a team if there is one, and kept; crops are cut from them."""

    def __init__(self, squares: Squares, cutter: Cutter, team: Team | None, transform: Transform,
                 draws: AnyDraws | None):
        self._squares, self._cutter, self._team = squares, cutter, team
        self._transform, self._draws = transform, draws
        self._tickets: dict[int, int] = {}

    def expect(self, k: int, indices: np.ndarray) -> None:
        """Ask the team for what is not there."""
        missing = indices[~self._squares.ready[indices]]
        if self._team and len(missing):
            self._tickets[k] = self._team.ask(missing, missing, None)

    def fill(self, k: int, indices: np.ndarray, out: np.ndarray) -> None:
        """Wait for the team or make what is missing; then cut."""
        array, ready = self._squares.memory.array, self._squares.ready
        if self._team and k in self._tickets:
            self._team.wait(self._tickets.pop(k))
            ready[indices] = True
        for index, rows in _rows(indices, out, self._transform):
            if not ready[index]:
                self._cutter(index, array[index], None, 0)
                ready[index] = True
            self._transform.apply(array[index], rows, self._draws, index)


def _rows(indices: np.ndarray, out: np.ndarray, transform: Transform) -> list[tuple[int, np.ndarray]]:
    """Each image's number, and its rows of the batch."""
    return list(zip(indices.tolist(), out.reshape(len(indices), transform.rows, *out.shape[1:]), strict=True))
