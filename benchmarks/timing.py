"""How long does it take?  Several ways to do one thing, timed side by side.

The sides take turns (A B A B ...), so that a busy minute of the machine falls on all of them.  Each turn begins with a
call that is not timed: it brings the side's data back into the caches, and the other side's threads, which spin for a
while after their work, come to rest.  The median of all timed calls is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How thoroughly to time.

    budget: seconds for each comparison, all sides together, after compilation.
    repeat: timed calls of each side that are made even if the budget is spent.
    turn: seconds of timed calls before the next side has its turn (at least one call).
    most: timed calls of each side that suffice, however short they are.
    """

    budget: float = 1.0
    repeat: int = 7
    turn: float = 0.02
    most: int = 500


@dataclass(frozen=True)
class Timing:
    """The seconds of every timed call."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the calls were quicker than the first, a quarter slower than the second."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def interleave(sides: Mapping[str, Callable[[], object]], effort: Effort = Effort(),  # noqa: B008 (it is frozen)
               clock: Callable[[], float] = time.perf_counter) -> dict[str, Timing]:
    """Time each side, in turns; returns side -> Timing."""
    for run in sides.values():
        run()  # compiles, loads, reserves memory
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    end = clock() + effort.budget
    while True:
        for side, run in sides.items():
            run()
            seconds[side] += _turn(run, effort, clock)
        fewest = min(map(len, seconds.values()))
        if fewest >= effort.most or (fewest >= effort.repeat and clock() >= end):
            return {side: Timing(tuple(values)) for side, values in seconds.items()}


def _turn(run: Callable[[], object], effort: Effort, clock: Callable[[], float]) -> list[float]:
    """Seconds of one call after the other, until the turn is over."""
    seconds: list[float] = []
    end = clock() + effort.turn
    while True:
        begin = clock()
        run()
        now = clock()
        seconds.append(now - begin)
        if now >= end:
            return seconds
