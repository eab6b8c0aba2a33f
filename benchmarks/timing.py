"""How long does it take?  Several sides that do one thing, timed in turns.

The sides take turns (A B A B ...), so that a busy minute of the machine falls on all of them.  A turn is a few calls
of one side, at least :attr:`Effort.turn` seconds of them; it gives one sample, the mean of its calls.  Short calls
begin a turn with some that are not timed: they bring the side's data back into the caches, and a processor that slept
while the other side had its turn back to its clock.

A sample is *disturbed* when others used the processors meanwhile: the system counts the busy time of all processors,
a process its own, and the difference is other people's.  Disturbed samples are dropped, as long as enough are left;
where they are not, the least disturbed are kept and the line is marked.  The median of what is kept is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TICK = 0.01  # seconds: the grain in which Linux counts a processor's time
SHORT = 0.1  # seconds: a longer call fills the caches and wakes the processor itself, before anyone can tell
WARM = 0.06  # seconds: so long does a processor that slept take to reach its clock for vector instructions


@dataclass(frozen=True)
class Effort:
    """How thoroughly to time.

    repeat: undisturbed samples of each side that are wanted.
    turn: seconds of calls that make a sample (at least one call).
    patience: seconds after which no round is added because disturbed samples left too few.
    """

    repeat: int = 5
    turn: float = 0.05
    patience: float = 10.0


@dataclass(frozen=True)
class Sample:
    """Seconds of a call (the mean of a turn); seconds of the turn; processor seconds that others used during it."""

    seconds: float
    turn: float
    foreign: float = 0.0

    @property
    def disturbed(self) -> bool:
        """More than 6 % of one processor's time, and more than the grain of the counts can make of nothing."""
        return self.foreign > 0.06 * self.turn + 1.5 * TICK


@dataclass(frozen=True)
class Timing:
    """The seconds of the samples that count.  ``dropped``: how many were not; ``disturbed``: whether disturbed samples
    had to be kept.  ``way``: the memory layout that was quickest, where there was a choice."""

    seconds: tuple[float, ...]
    dropped: int = 0
    disturbed: bool = field(default=False, kw_only=True)
    way: str = field(default="", kw_only=True)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the samples were quicker than the first, a quarter slower than the second."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def interleave(sides: Mapping[str, Callable[[], Sample]], effort: Effort = Effort(),  # noqa: B008 (it is frozen)
               clock: Callable[[], float] = time.perf_counter) -> dict[str, Timing]:
    """Let the sides take turns until each has ``effort.repeat`` undisturbed samples, or patience ends."""
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    rounds, end = 0, clock() + effort.patience
    while rounds < effort.repeat or (clock() < end and any(len(_clean(taken)) < effort.repeat
                                                           for taken in samples.values())):
        for side, take_turn in sides.items():
            samples[side].append(take_turn())
        rounds += 1
    return {side: choose(taken, effort.repeat) for side, taken in samples.items()}


def choose(samples: list[Sample], repeat: int) -> Timing:
    """The undisturbed samples, if there are ``repeat`` of them; else the ``repeat`` least disturbed, marked."""
    kept = _clean(samples)
    disturbed = len(kept) < min(repeat, len(samples))
    if disturbed:
        kept = sorted(samples, key=lambda sample: sample.foreign / sample.turn)[:repeat]
    return Timing(tuple(s.seconds for s in kept), len(samples) - len(kept), disturbed=disturbed)


def _clean(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.disturbed]


def take_turn(run: Callable[[], object], seconds: float, usual: float,
              clock: Callable[[], float] = time.perf_counter, foreign: Callable[[], float] = lambda: 0.0) -> Sample:
    """Call ``run`` for ``seconds``, at least once.  ``usual``: about what a call takes.  ``foreign`` counts the
    processor seconds that others have used since any moment."""
    begin = clock()
    while usual < SHORT and clock() - begin < WARM:
        run()
    calls, others, begin = 0, foreign(), clock()
    while True:
        run()
        calls += 1
        elapsed = clock() - begin
        if elapsed >= seconds:
            return Sample(elapsed / calls, elapsed, max(0.0, foreign() - others))


def quickest(run: Callable[[], object], seconds: float) -> float:
    """The shortest time (seconds) of the calls of ``run`` that fit into about ``seconds``, of at least one."""
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        begin = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - begin)
        if now >= end:
            return best
