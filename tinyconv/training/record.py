"""``run.json``: what was run, with what, on which machine, each time the run was begun or gone on with.

    {"data": {...}, "sessions": [{"began": ..., "step": ..., "command": ..., "options": {...}, "environment": {...}}]}
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..info import cores, versions
from ..safefile import write_text


def add_session(out: Path, step: int, options: Mapping[str, Any], data: Mapping[str, Any],
                devices: list[str]) -> None:
    """Add a session that begins after ``step`` steps to ``out/run.json``.

    options: of the program; data: where the images come from; both must be ready for JSON."""
    record = {**read(out), "data": dict(data)}
    session = {"began": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "step": step,
               "command": shlex.join([Path(sys.executable).name, *sys.argv]), "options": dict(options),
               "environment": {**environment(), "devices": ", ".join(devices)}}
    record["sessions"] = [*record["sessions"], session]
    write_text(out / "run.json", json.dumps(record, indent=1) + "\n")


def read(out: Path) -> dict[str, Any]:
    """The record of the run in ``out``; an empty one, {"data": {}, "sessions": []}, if there is none or it is
    damaged."""
    try:
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        return {"data": dict(record["data"]), "sessions": [dict(session) for session in record["sessions"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"data": {}, "sessions": []}


def environment() -> dict[str, str]:
    """Versions and the machine, as texts by name."""
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items())
                if name.startswith(("TINYCONV_", "NUMBA_")) or name == "OMP_NUM_THREADS"]
    return {"versions": "; ".join(versions()), "machine": platform.platform(), "processor": _processor(),
            "memory": _memory(), "settings": " ".join(settings) or "none"}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {cores()} cores"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2 ** 30:.1f} GiB"
    except (ValueError, OSError):
        return "unknown"
