"""Queues of work, run as late as the program allows, and the proof that what shares memory is ordered.

A CUDA stream promises only this: what is put into it runs in order.  *When* it runs, and how it mixes with other
streams, is up to the hardware.  So a program is right only if something orders every two pieces of work of which one
writes what the other touches: the same stream, an event, a wait on the host, or the rule of the legacy default stream.

On a GPU a missing order goes unnoticed until the day that timing changes.  Here it is found by logic, not by luck.
Each queue keeps a *clock*: how far along every other queue must have come before the next piece of work here may
start.  Events carry clocks from queue to queue; waiting on the host carries them to everything that comes later.  Each
block of memory remembers who wrote it last and who has read it since, and work that touches it without having those in
its clock is an error (this is the vector-clock race detector of Mattern and Fidge, of streams instead of threads).

What the host reads cannot be watched, so there laziness helps: work runs only when something waits for it, and a
result that is read too early is still poison.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from . import settings
from .module import EmulatorError

LOCK = threading.RLock()  # one for all: the host may have several threads, but work runs one at a time

Clock = dict["Queue", int]  # so many pieces of the queue's work have run


@dataclass
class Use:
    """A piece of work that touched a block: the ``mark``-th of ``queue``."""

    queue: Queue
    mark: int
    name: str


@dataclass
class History:
    """Who touched a block of memory: enough to tell whether the next one comes in order."""

    written: Use | None = None
    read: dict[Queue, Use] = field(default_factory=dict)


class Touchable(Protocol):
    history: History


@dataclass
class Work:
    run: Callable[[], None]
    after: list[tuple[Queue, int]]


class Queue:
    """The work of one stream.  ``legacy``: the default stream, which waits for every blocking stream of its device,
    and they for it."""

    def __init__(self, device_id: int, siblings: list[Queue], non_blocking: bool = False, legacy: bool = False) -> None:
        self.device_id, self.siblings, self.non_blocking, self.legacy = device_id, siblings, non_blocking, legacy
        self.abandoned = False  # its stream is gone; it is kept until the host has waited for its work
        self.over = False  # the host has: whatever is put in anywhere from now on comes after it
        self.pushed = self.done = 0  # pieces of work put in, and run
        self._work: deque[Work] = deque()
        self._clock: Clock = {}
        with LOCK:
            _let_go()
            siblings[:] = [queue for queue in siblings if queue.pushed or not queue.abandoned]
            siblings.append(self)

    def __repr__(self) -> str:
        return f"the default stream of device {self.device_id}" if self.legacy else (
            f"stream {id(self):#x} of device {self.device_id}")

    def push(self, name: str, run: Callable[[], None], reads: Iterable[Touchable] = (),
             writes: Iterable[Touchable] = ()) -> None:
        """Put in a piece of work, which reads and writes these blocks of memory."""
        with LOCK:
            self._observe_default_stream()
            merge(self._clock, _host)
            for queue in [queue for queue in self._clock if queue.over]:
                del self._clock[queue]
            use = Use(self, self.pushed + 1, name)
            for block in reads:
                self._read(block.history, use)
            for block in writes:
                self._write(block.history, use)
            self.pushed += 1
            waits = [(queue, mark) for queue, mark in self._clock.items() if queue is not self and queue.done < mark]
            self._work.append(Work(run, waits))
            if settings.current().streams == "eager":
                self.run_until(self.pushed)

    def now(self) -> Clock:
        """The clock of something that comes after all that was put in so far."""
        return {**self._clock, self: self.pushed}

    def wait_for(self, clock: Clock) -> None:
        """What is put in from now on comes after ``clock``."""
        merge(self._clock, clock)

    def run_until(self, mark: int) -> None:
        """Run what was put in, in order, until ``mark`` pieces have run, and first what they must come after."""
        while self.done < mark and self._work:
            work = self._work.popleft()
            try:
                for queue, needed in work.after:
                    queue.run_until(needed)
                work.run()
            except BaseException:  # what would have come next has no meaning now (a GPU loses its whole context)
                self._work.clear()
                self.done = self.pushed
                raise
            self.done += 1

    def _observe_default_stream(self) -> None:
        if self.non_blocking:
            return
        for queue in self.siblings:
            if queue is not self and not queue.non_blocking and (queue.legacy or self.legacy):
                merge(self._clock, queue.now())

    def _read(self, history: History, use: Use) -> None:
        self._require(history.written, use, "reads what", "writes")
        if self not in history.read:
            history.read = {queue: earlier for queue, earlier in history.read.items() if not queue.over}
        history.read[self] = use

    def _write(self, history: History, use: Use) -> None:
        self._require(history.written, use, "overwrites what", "writes")
        for earlier in history.read.values():
            self._require(earlier, use, "overwrites what", "reads")
        history.written, history.read = use, {}

    def _require(self, earlier: Use | None, use: Use, does: str, did: str) -> None:
        if earlier is None or earlier.queue is self or earlier.queue.over:
            return
        if self._clock.get(earlier.queue, 0) >= earlier.mark:
            return
        raise EmulatorError(
            f"{use.name} in {self} {does} {earlier.name} {did} in {earlier.queue}, and nothing orders the two: record "
            "an event in that stream and let this one wait for it (Stream.wait_event), or synchronize between them")


_host: Clock = {}  # what the host has waited for; everything that it starts later comes after that


def merge(clock: Clock, other: Clock) -> None:
    """Make ``clock`` come after ``other``, too."""
    for queue, mark in other.items():
        if clock.get(queue, 0) < mark:
            clock[queue] = mark


def host_waits_for(clock: Clock) -> None:
    """Run all work of ``clock``; what the host does from now on comes after it."""
    with LOCK:
        for queue, mark in clock.items():
            queue.run_until(mark)
        merge(_host, clock)
        _let_go()


def _let_go() -> None:
    """A program may make streams without end: forget those that are gone once the host has waited for them."""
    for queue in [queue for queue, mark in _host.items() if queue.abandoned and mark >= queue.pushed]:
        queue.over = True
        queue._clock.clear()  # or each would keep the one before it
        del _host[queue]
        if queue in queue.siblings:
            queue.siblings.remove(queue)
