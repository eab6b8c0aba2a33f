"""How much memory the run holds right now."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

_MIB = 1 << 20


def resident(workers: Iterable[int] = ()) -> dict[str, float]:
    """The resident memory of this process (``rss_mib``), the part of it that is mapped from files or shared
    (``shared_mib``: libraries, and images that the loader keeps, which fill up during the first epoch), and that of the
    processes with these numbers together (``workers_rss_mib``), in MiB.

    Memory that processes share counts in each of them.  Where there is no ``/proc`` the first is the peak so far and
    the others 0."""
    whole, shared = _mib(os.getpid()) or (_peak(), 0.0)
    others = [found[0] for pid in workers if (found := _mib(pid))]
    return {"rss_mib": round(whole, 1), "shared_mib": round(shared, 1), "workers_rss_mib": round(sum(others), 1)}


def _mib(pid: int) -> tuple[float, float] | None:
    """Resident, and shared or of files; None if there is no such process any more, or no ``/proc``."""
    try:
        _, whole, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return None
    page = os.sysconf("SC_PAGE_SIZE") / _MIB
    return whole * page, shared * page


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1 << 10  # of ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
