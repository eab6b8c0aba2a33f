"""Processes that make or check shards: bounded work ahead, results in order, nothing left behind."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from .errors import PackError

Item = TypeVar("Item")
Done = TypeVar("Done")
Work = Callable[[Item, Callable[[int], None]], Done]

_POLL = 0.2  # seconds between two looks at the progress


def in_order(work: Work[Item, Done], items: Iterable[Item], workers: int, after: Callable[[int], Any],
             lock: Path) -> Iterator[Done]:
    """work(item, count) of every item, in order, by `workers` processes (0: by this one).

    after  is called in this process with what the workers passed to `count`.
    lock   a folder that the workers hold a shared lock on as long as they live, see `wait_for_crew`.

    At most workers + 2 items are under way. Raises what `work` raises; PackError: a worker died. However this ends,
    its processes do, too: an error or Ctrl-C stops them at the next call of `count`, the death of this process at once.
    """
    if not workers:
        yield from (work(item, after) for item in items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would take half of the CPU kernels' threads with it
    counter, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(workers, context, _begin, (counter, stop, lock))
    pending: deque[Future[Done]] = deque()
    look = _Look(counter, after)
    try:
        for item in items:
            pending.append(pool.submit(_run, work, item))
            if len(pending) > workers + 2:
                yield _result(pending.popleft(), look)
        while pending:
            yield _result(pending.popleft(), look)
    except BrokenProcessPool as error:
        raise PackError("a worker process died (killed, or out of memory?); what was finished is kept: run the same "
                        "again, perhaps with fewer workers. A program of one's own starts it under "
                        "if __name__ == '__main__', or with workers=0") from error
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


class _Look:
    """Tells `after` how far the workers have come since the last look."""

    def __init__(self, counter: Any, after: Callable[[int], Any]):
        self._counter, self._after, self._seen = counter, after, 0

    def __call__(self) -> None:
        if (count := self._counter.value) > self._seen:
            self._after(count - self._seen)
            self._seen = count


def _result(future: Future[Done], look: _Look) -> Done:
    while wait([future], _POLL).not_done:
        look()
    look()
    return future.result()


def wait_for_crew(lock: Path) -> None:
    """Return when no worker of an earlier run is alive: those of a killed one end a moment after it."""
    handle = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


class _StoppedError(Exception):
    """The parent has given up; nobody waits for the result."""


_count: Callable[[int], None]  # of this worker
_lock: int


def _begin(counter: Any, stop: Any, lock: Path) -> None:
    """Runs first in every worker."""
    global _count, _lock
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of the terminal's processes; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _lock = os.open(lock, os.O_RDONLY)
    fcntl.flock(_lock, fcntl.LOCK_SH)

    def count(images: int) -> None:
        if stop.is_set():
            raise _StoppedError
        with counter.get_lock():
            counter.value += images

    _count = count


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()  # a killed parent cannot say goodbye
    os._exit(1)


def _run(work: Work[Item, Done], item: Item) -> Done:
    return work(item, _count)
