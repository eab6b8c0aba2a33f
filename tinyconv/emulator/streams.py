"""``cupy.cuda.Stream`` and ``cupy.cuda.Event``: handles for queues of work and for points in them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from . import devices
from .errors import CUDARuntimeError
from .queues import Clock, Queue, host_waits_for


class Stream:
    """A stream of the current device.  ``Stream.null`` is the legacy default stream of whichever device is current."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: int | None = None) -> None:
        if ptds:
            raise NotImplementedError("Stream: the emulator has no per-thread default stream; make a Stream per thread")
        self._queue = None if null else Queue(
            devices.current_id(), devices.state(devices.current_id()).queues, non_blocking)
        self.device_id = -1 if self._queue is None else self._queue.device_id
        self.ptr = 0 if self._queue is None else id(self._queue)
        _by_pointer[self.ptr] = self._queue

    def __del__(self) -> None:
        if self._queue is not None:
            self._queue.abandoned = True
            _by_pointer.pop(self.ptr, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self) -> Stream:
        outer = devices.current_id(), get_current_stream()
        self.use()
        _current.outer.append(outer)
        return self

    def __exit__(self, *_: object) -> None:
        device_id, outer = _current.outer.pop()
        _current.of_device[device_id] = outer

    def use(self) -> Stream:
        """Make this the current stream of the current device, which must be its own."""
        current = devices.current_id()
        if self.device_id not in (-1, current):
            raise RuntimeError(f"The device that the stream is created on ({self.device_id}) does not match with the "
                               f"current device ({current}): enter `with Device({self.device_id}):` first")
        _current.of_device[current] = self
        return self

    @property
    def queue(self) -> Queue:
        return self._queue or devices.state(devices.current_id()).legacy

    @property
    def is_non_blocking(self) -> bool:
        return self.queue.non_blocking

    @property
    def done(self) -> bool:
        return self.queue.done == self.queue.pushed

    def synchronize(self) -> None:
        host_waits_for(self.queue.now())

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """What comes later in this stream starts after ``event``, which may be of another device."""
        self.queue.wait_for(event.clock)


class _Current(threading.local):
    def __init__(self) -> None:
        self.of_device: dict[int, Stream] = defaultdict(lambda: Stream.null)
        self.outer: list[tuple[int, Stream]] = []


_current = _Current()
_by_pointer: dict[int, Queue | None] = {}
Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    return _current.of_device[devices.current_id() if device_id < 0 else device_id]


def queue_of(stream: Stream | None) -> Queue:
    """The queue of ``stream``, or of the current one."""
    return (stream or get_current_stream()).queue


def queue_at(pointer: int) -> Queue:
    """The queue of the stream with ``ptr == pointer``."""
    if pointer not in _by_pointer:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle", f"{pointer:#x} is not a stream; pass Stream.ptr of a "
                               "stream that is still alive")
    return _by_pointer[pointer] or devices.state(devices.current_id()).legacy


def alive(pointer: int) -> bool:
    """Whether there is a stream with ``ptr == pointer``."""
    return pointer in _by_pointer


class Event:
    """A point in a stream.  It belongs to the device that was current when it was made."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        if interprocess and not disable_timing:
            raise ValueError("Timing must be disabled for interprocess events")
        self.device_id, self.timed = devices.current_id(), not disable_timing
        self.clock: Clock = {}  # of a moment after everything that comes before the event
        self.time: float | None = None  # in seconds, once it has happened

    def record(self, stream: Stream | None = None) -> None:
        """The event is now the point after all work that the stream has got so far."""
        queue = queue_of(stream)
        if queue.device_id != self.device_id:
            raise CUDARuntimeError(
                "cudaErrorInvalidResourceHandle", f"an event of device {self.device_id} cannot be recorded in {queue}: "
                f"make the event while device {queue.device_id} is current")
        self.time = None
        queue.push("an event", self._happen)
        self.clock = queue.now()

    def _happen(self) -> None:
        self.time = time.perf_counter()

    @property
    def done(self) -> bool:
        """The host that has seen it happen may rely on it, as if it had waited."""
        happened = all(queue.done >= mark for queue, mark in self.clock.items())
        if happened:
            self.synchronize()
        return happened

    def synchronize(self) -> None:
        host_waits_for(self.clock)


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events that have happened."""
    for name, event in (("start", start), ("end", end)):
        if not event.timed or not event.clock:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle", f"the {name} event was never recorded, or was "
                                   "made with disable_timing=True")
        if event.time is None:
            raise CUDARuntimeError("cudaErrorNotReady", f"the {name} event has not happened yet: synchronize() it")
    return 1e3 * (end.time - start.time)  # type: ignore[operator]
