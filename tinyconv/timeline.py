"""What ran when, and where: the launches of each device, and the copies between them.

    with tc.timeline() as t:
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
    print(t)                    # who was busy, and with what
    t.save("step.png")          # a lane for each device, copies as arrows, idle time shaded
    t.save("step.json")         # for https://ui.perfetto.dev or chrome://tracing

Devices ask for a :func:`recorder` at each launch, which adds a :class:`Span` once it has run.  Times are seconds since
the timeline began.  The trace is in ``timeline_trace.py``, the picture in ``timeline_picture.py``.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from .grad_mode import is_grad_enabled

PICTURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True, slots=True)
class Span:
    """One launch or one copy, from ``begin`` to ``end`` (seconds since the timeline began), on one device."""

    device: str  # its lane: "cpu:0"
    name: str  # "conv.forward", "conv.backward_weight", "copy", "upload" ...
    phase: str  # "forward", "backward" or "" (neither: the update, an upload ...)
    begin: float
    end: float
    source: str = ""  # of a copy between devices: where it came from; ``device`` is where it went
    nbytes: int = 0  # of a copy
    origin: str = ""  # the user's line that launched it: "train.py:41 in main"; empty if unknown
    sent: float = 0.0  # of a copy: when its source was ready; 0 if unknown

    @property
    def folder(self) -> str:
        """The kernel's folder: "conv" of "conv.forward"; "copy" and "upload" are names of their own."""
        return self.name.partition(".")[0]


@dataclass
class Timeline:
    """The spans that were recorded, in any order until the timeline is closed, then by their begin."""

    spans: list[Span] = field(default_factory=list)
    _zero: float = field(default_factory=time.perf_counter, repr=False)

    def add(self, span: Span) -> None:
        """Any thread may call it at any time: appending to a list needs no lock."""
        self.spans.append(span)

    def now(self) -> float:
        """Seconds since the timeline began."""
        return self.at(time.perf_counter())

    def at(self, moment: float) -> float:
        """The same, at a moment of ``time.perf_counter()``."""
        return moment - self._zero

    def close(self) -> None:
        # Not sorted in place: on the way out after an error a worker may still be adding, which sort() forbids.
        self.spans = sorted(self.spans, key=attrgetter("begin"))

    def devices(self) -> list[str]:
        """Those that ran or sent something, "cpu:2" before "cpu:10"."""
        names = {s.device for s in self.spans} | {s.source for s in self.spans if s.source}
        return sorted(names, key=_natural)

    def extent(self) -> tuple[float, float]:
        """The first begin and the last end of all spans; (0, 0) without any."""
        return min((s.begin for s in self.spans), default=0.0), max((s.end for s in self.spans), default=0.0)

    def busy(self) -> dict[str, float]:
        """Seconds in which each device did something; where two of its spans overlap, they count once."""
        return {d: sum(end - begin for begin, end in covered(s for s in self.spans if s.device == d))
                for d in self.devices()}

    def idle(self) -> dict[str, float]:
        """Seconds in which each device did nothing, between the first begin and the last end on any device."""
        first, last = self.extent()
        return {device: last - first - busy for device, busy in self.busy().items()}

    def exchanged(self) -> dict[tuple[str, str], int]:
        """Bytes copied between devices, by (source, target)."""
        total: Counter[tuple[str, str]] = Counter()
        for s in self.spans:
            if s.source:
                total[s.source, s.device] += s.nbytes
        return dict(total)

    def __str__(self) -> str:
        if not self.spans:
            return "timeline: nothing was recorded"
        return f"{_devices_table(self)}\n\n{_kernels_table(self)}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.json``, a trace for https://ui.perfetto.dev, or ``.png``, ``.pdf`` or ``.svg``, the picture.

        Raises ValueError for another ending, OSError if the file cannot be written; what it held is then untouched."""
        path = Path(path)
        ending = path.suffix.lower()
        if ending == ".json":  # neither is imported before somebody wants it: matplotlib takes half a second
            from .timeline_trace import write
        elif ending in PICTURES:
            from .timeline_picture import write
        else:
            raise ValueError(f"timeline: cannot save {path.name!r}: the ending must be .json, {', '.join(PICTURES)}, "
                             f"not {ending!r}")
        write(self, path)


def covered(spans: Iterable[Span]) -> list[tuple[float, float]]:
    """The times in which at least one of the spans runs, as (begin, end) without overlap, in order."""
    stretches: list[tuple[float, float]] = []
    for s in sorted(spans, key=attrgetter("begin")):
        if stretches and s.begin <= stretches[-1][1]:
            stretches[-1] = stretches[-1][0], max(stretches[-1][1], s.end)
        else:
            stretches.append((s.begin, s.end))
    return stretches


_active: Timeline | None = None  # of the process: a launch counts, whichever thread made it
_recording = threading.Lock()


def active() -> Timeline | None:
    """The timeline that is being recorded, or None."""
    return _active


def recorder(device: str, name: str, origin: Callable[[], object], source: str = "", nbytes: int = 0,
             ready: Callable[[], float] | None = None) -> Callable[[float, float], None] | None:
    """What a device asks for when it launches something: who is to be told, as (begin, end), moments of
    ``time.perf_counter()``, once it has run.  None if nobody listens.

    source, nbytes, ready: of a copy, the device that it comes from, its size, and when it was ready there."""
    listening = _active
    if listening is None:
        return None
    about = {"device": device, "name": name, "phase": current_phase(name), "origin": str(origin() or ""),
             "source": source, "nbytes": nbytes}

    def record(begin: float, end: float) -> None:
        sent = listening.at(ready()) if ready else 0.0
        listening.add(Span(begin=listening.at(begin), end=listening.at(end), sent=sent, **about))  # type: ignore[arg-type]

    return record


@contextmanager
def timeline() -> Iterator[Timeline]:
    """Record what all devices do in a ``with`` block, which ends when they have finished.

    If the block fails, nobody is waited for, and the timeline holds what had run by then.  Raises RuntimeError if one
    is being recorded already."""
    global _active
    if not _recording.acquire(blocking=False):
        raise RuntimeError("timeline: another one is being recorded; leave its with block first, or read that one")
    try:
        finish()  # what was launched before would look like idle time
        recorded = _active = Timeline()
        try:
            yield recorded
            finish()
        finally:
            _active = None
            recorded.close()
    finally:
        _recording.release()


def finish() -> None:
    """Wait until every device has run what it was given."""
    from .device import known_devices  # devices import this file

    for device in known_devices():
        device.synchronize()


class _Phase(threading.local):
    # Of each thread, as grad mode is: what the data loader's thread uploads during a backward pass is no part of it.
    name: str | None = None


_phase = _Phase()


def current_phase(kernel: str = "") -> str:
    """In which phase a launch of ``kernel`` is, by this thread: "forward", "backward" or "" (neither).

    That which a :func:`phase` block says.  Outside of one it is "forward" while a graph is recorded, unless the kernel
    is one of the update, or an upload."""
    if _phase.name is not None:
        return _phase.name
    return "forward" if is_grad_enabled() and kernel != "upload" and not kernel.startswith("update.") else ""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What this thread launches in the block is "forward", "backward" or, with "", neither.

    Raises ValueError for any other name."""
    if name not in ("forward", "backward", ""):
        raise ValueError(f"phase: must be 'forward', 'backward' or '', not {name!r}")
    before, _phase.name = _phase.name, name
    try:
        yield
    finally:
        _phase.name = before


def _natural(device: str) -> tuple[str, int]:
    kind, _, index = device.partition(":")
    return kind, int(index) if index.isdigit() else -1


def _devices_table(timeline: Timeline) -> str:
    first, last = timeline.extent()
    idle, received = timeline.idle(), Counter[str]()
    for (_, target), nbytes in timeline.exchanged().items():
        received[target] += nbytes
    launches = Counter(s.device for s in timeline.spans if not s.source)
    rows: list[tuple[str, ...]] = [("device", "busy ms", "idle ms", "busy", "launches", "received")]
    rows += [(device, f"{1e3 * busy:,.2f}", f"{1e3 * idle[device]:,.2f}", percent(busy, last - first),
              f"{launches[device]:,}", size(received[device])) for device, busy in timeline.busy().items()]
    return _table(rows)


def _kernels_table(timeline: Timeline) -> str:
    """How each device's launches and copies share the time that they took; the largest first."""
    devices = timeline.devices()
    total = by_folder(timeline.spans)
    own = {device: by_folder(s for s in timeline.spans if s.device == device) for device in devices}
    return _table([("kernels", *devices), *((folder, *(percent(own[d].get(folder, 0), sum(own[d].values()))
                                                       for d in devices)) for folder in total)])


def by_folder(spans: Iterable[Span]) -> dict[str, float]:
    """Seconds that the spans took by the folder of their kernel, the largest first."""
    seconds: dict[str, float] = {}
    for s in spans:
        seconds[s.folder] = seconds.get(s.folder, 0.0) + s.end - s.begin
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
             for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def percent(part: float, whole: float, digits: int = 1) -> str:
    return f"{100 * part / whole:.{digits}f} %" if whole else "-"


def size(nbytes: float) -> str:
    """As people write it: "640 B", "1.5 kB", "12.0 MB"; powers of ten, as bandwidths have them."""
    for unit in ("B", "kB", "MB"):
        if nbytes < 999.95:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} GB"
