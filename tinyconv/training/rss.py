"""How much memory the run holds right now."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

_MIB = 1 << 20


def resident(workers: Iterable[int] = ()) -> dict[str, float]:
    """``rss_mib``: the resident memory of this process, and ``workers_rss_mib``: that of the processes with these
    numbers together, in MiB.

    Memory that processes share counts in each of them.  Where there is no ``/proc`` the first is the peak so far and
    the second 0."""
    return {"rss_mib": round(_mib(os.getpid()) or _peak(), 1),
            "workers_rss_mib": round(sum(_mib(pid) or 0 for pid in workers), 1)}


def _mib(pid: int) -> float | None:
    """None if there is no such process any more, or no ``/proc``."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1 << 10  # of ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
