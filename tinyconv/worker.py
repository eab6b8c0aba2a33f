"""A worker: a thread that runs jobs one after the other, in the order in which they were submitted.

``submit`` returns at once.  An :class:`Event` marks a place in the queue: the program, or another worker, waits for it.

What a job raises cannot be raised where the job was submitted: the program is elsewhere by then.  So the worker keeps
it and skips the jobs that follow, and whoever waits for an event behind them hears of it: another worker fails in
turn, the program gets the exception.

A worker only ever waits for events that were marked before in the order of the program, and the first open job of
that order waits for nothing.  So workers cannot wait for each other in a circle.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

STRETCH, STRETCHES = 32, 8  # the program may be so many jobs ahead, times so many: two steps of a small network
_PATIENCE = 10.0  # seconds: at exit the kernel that is running gets so long

_workers: list[Worker] = []


class Event:
    """A place in a queue.  ``done`` once all before it was run, or skipped because of ``failure``."""

    __slots__ = ("_flag", "failure", "time")

    def __init__(self) -> None:
        self._flag = threading.Event()
        self.failure: BaseException | None = None
        self.time = 0.0  # when it happened, by time.perf_counter()

    @property
    def done(self) -> bool:
        return self._flag.is_set()

    def wait(self) -> None:
        """Returns when it is done; ``failure`` tells how it went.  In the main thread Ctrl-C ends the wait."""
        self._flag.wait()

    def happen(self, failure: BaseException | None = None) -> None:
        self.failure, self.time = failure, time.perf_counter()
        self._flag.set()


class _Item:
    """What is in a queue; ``thread`` put it there.  Subclasses know what the worker does with it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()


class _Job(_Item):
    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self.run = run


class _Mark(_Item):
    """An event of this queue, which is to happen."""

    def __init__(self) -> None:
        super().__init__()
        self.event = Event()


class _Wait(_Item):
    """An event of another queue, which is to be waited for.  ``heed``: if that failed, so has this."""

    def __init__(self, event: Event, heed: bool) -> None:
        super().__init__()
        self.event, self.heed = event, heed


class _Forget(_Item):
    """This thread has been told of a failure: what comes from now on is run again."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__()
        self.failure = failure


class Worker:
    """The thread starts with the first job."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._begin()
        _workers.append(self)

    def _begin(self, gone: str = "") -> None:
        self._items: SimpleQueue[_Item | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # between several threads of the program
        self._failure: BaseException | None = None
        self._untold: dict[int, BaseException] = {}  # threads whose jobs failed or were skipped, and why
        self._ahead: deque[Event] = deque()  # an event behind each stretch of jobs
        self._jobs = 0
        self._gone = gone  # why nothing can be submitted any more

    def submit(self, run: Callable[[], None]) -> None:
        """Call ``run`` after everything before.  Waits if the program is too far ahead."""
        with self._lock:
            self._put(_Job(run))
            self._jobs += 1
            if self._jobs % STRETCH == 0:
                self._ahead.append(self.mark())
            late = self._ahead.popleft() if len(self._ahead) > STRETCHES else None
        if late is not None:
            late.wait()

    def mark(self) -> Event:
        """An event behind all that was submitted so far."""
        item = _Mark()
        self._put(item)
        return item.event

    def after(self, event: Event, heed: bool = True) -> None:
        """What is submitted from now on waits for an event of another worker, and is skipped if that failed, unless it
        is not to ``heed`` that."""
        self._put(_Wait(event, heed))

    def _put(self, item: _Item) -> None:
        with self._lock:
            if self._gone:
                raise RuntimeError(f"{self.name}: {self._gone}")
            if self._thread is None:
                # Told first: if Ctrl-C comes while it begins, there must not be another.
                self._thread = thread = threading.Thread(target=self._run, name=f"tinyconv {self.name}", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    self._thread = thread if thread.is_alive() else None
                    raise
            self._items.put(item)

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if isinstance(item, _Mark):
                item.event.happen(self._failure or self._untold.get(item.thread))
            elif isinstance(item, _Forget):
                if self._untold.get(item.thread) is item.failure:
                    del self._untold[item.thread]
                self._failure = None if self._failure is item.failure else self._failure
            else:
                if self._failure is None and not self._gone:
                    self._failure = _outcome(item)
                if self._failure is not None:
                    self._untold[item.thread] = self._failure
            del item  # it holds arrays

    def wait(self) -> None:
        """Wait until all that was submitted has run.  Raises what one of the jobs raised; that is then forgotten."""
        if self._thread is None and not self._gone:
            return  # nothing ever was
        event = self.mark()
        event.wait()
        failure = event.failure
        del event
        if failure is not None:
            for worker in _workers:  # also those that only heard of it
                if worker._thread is not None:
                    worker._put(_Forget(failure))
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame: together they would be garbage that only gc finds

    def stop(self) -> None:
        """Skip what has not begun, and end the thread."""
        self._gone = "the program is ending"
        self._items.put(None)


def _outcome(item: _Item) -> BaseException | None:
    """Do what the item of a queue asks for; what it raised, or had to hear of, if it failed."""
    if isinstance(item, _Wait):
        item.event.wait()
        return item.event.failure if item.heed else None
    assert isinstance(item, _Job)
    try:
        item.run()
    except BaseException as error:  # whatever it is, the program must hear of it
        return error
    return None


def _stop_all() -> None:
    """At exit: nobody can see any more what the open jobs would compute."""
    for worker in _workers:
        worker.stop()
    untold = {}
    for worker in _workers:
        if worker._thread is not None:
            worker._thread.join(_PATIENCE)
        if worker._failure is not None:
            untold[id(worker._failure)] = worker._failure  # several queues may have failed with one
    for failure in untold.values():
        print(f"tinyconv: nobody waited for this, so nobody heard: {type(failure).__name__}: {failure}",
              file=sys.stderr)


def _after_fork() -> None:
    """A child has a copy of the queues, but not the threads, and OpenMP does not survive a fork either."""
    for worker in _workers:
        worker._begin(gone="this process was forked from one that used it; start processes by spawn or forkserver")


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
