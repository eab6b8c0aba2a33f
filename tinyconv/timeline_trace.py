"""A timeline as a Chrome trace: JSON that https://ui.perfetto.dev and chrome://tracing show.

Times are microseconds.  Each device is a thread of one process; a launch is a complete event ("X"); a copy is one,
too, on the device that receives, and a flow ("s" to "f") leads there from the launch that made what is copied.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from operator import attrgetter
from pathlib import Path
from typing import Any

from .safefile import write_text
from .timeline import Span, Timeline

PID = 1
_NANOSECOND = 1e-9


def write(timeline: Timeline, path: Path) -> None:
    """Raises OSError, see :func:`tinyconv.safefile.write_text`."""
    write_text(path, json.dumps(trace(timeline)))


def trace(timeline: Timeline) -> dict[str, Any]:
    devices = timeline.devices()
    tids = {device: i for i, device in enumerate(devices)}
    spans = sorted(timeline.spans, key=attrgetter("begin"))
    lanes = {device: [s for s in spans if s.device == device] for device in devices}
    events = [_meta("process_name", name="tinyconv")]
    for device, tid in tids.items():
        events += [_meta("thread_name", tid, name=device), _meta("thread_sort_index", tid, sort_index=tid)]
    events += [_launch(s, tids[s.device]) for s in spans]
    for number, s in enumerate(s for s in spans if s.source):  # after the launches at its two ends
        flow = {"name": "copy", "cat": "copy", "id": number, "pid": PID}
        events.append({"ph": "s", **flow, "tid": tids[s.source], "ts": _us(_departure(s, lanes[s.source]))})
        events.append({"ph": "f", "bp": "e", **flow, "tid": tids[s.device], "ts": _us(s.begin)})
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _meta(kind: str, tid: int = 0, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": PID, "tid": tid, "args": args}


def _launch(s: Span, tid: int) -> dict[str, Any]:
    args: dict[str, Any] = {"phase": s.phase, "origin": s.origin}
    if s.source:
        args["source"] = s.source
    if s.source or s.nbytes:
        args["bytes"] = s.nbytes
    begin = _us(s.begin)
    return {"ph": "X", "name": s.name, "cat": s.phase or "other", "pid": PID, "tid": tid, "ts": begin,
            "dur": round(_us(s.end) - begin, 3), "args": args}


def _departure(copy: Span, lane: list[Span]) -> float:
    """When the arrow of a copy leaves its source.

    Viewers drop an arrow that does not begin within a launch, and a source is ready when one has just *ended*.  So the
    arrow leaves in the last nanosecond of the launch before, if it is not within one."""
    sent = copy.sent or copy.begin
    before = bisect_left(lane, sent, key=attrgetter("begin"))
    return min(sent, max(lane[before - 1].end - _NANOSECOND, lane[before - 1].begin)) if before else sent


def _us(seconds: float) -> float:
    return round(1e6 * seconds, 3)
