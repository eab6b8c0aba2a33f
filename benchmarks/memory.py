"""Page faults, allocations and peak memory of warm training steps: tinyconv with and without its memory pool, PyTorch
as installed and tuned.

A page fault is the system handing out a page (usually 4 KiB) at its first touch, zeroed.  A step that reuses its memory
causes none.  Each measurement is a process of its own, so that one's memory is not another's.  "unpooled" is tinyconv
with a device that asks the system for every array afresh.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
import tracemalloc
from typing import Any

import numpy as np

from tinyconv.device import device

from . import jobs, machine, step
from .processes import report_of

SIDES = (jobs.TINYCONV, "unpooled", jobs.TORCH, jobs.TUNED)


class NoPool:
    """In place of a device's pool: every array is new, and freed when its last view is gone."""

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        return np.empty(shape, dtype)


def measure(side: str, variant: str, batch: int, warm: int = 2, steps: int = 3) -> dict[str, Any]:
    """Run :func:`count` in a fresh process.  Raises CalledProcessError if that fails; what it wrote is on stderr."""
    return report_of(side, "memory", "count", side=side, variant=variant, batch=batch, warm=warm, steps=steps)


def count(side: str, variant: str, batch: int, warm: int, steps: int) -> None:
    """Prints: minor page faults and seconds of a step (medians of ``steps`` after ``warm`` others), this process's
    largest resident memory in bytes, and by how much NumPy's memory grew at most within a step (None for PyTorch,
    whose allocations Python does not see)."""
    torch = side in (jobs.TORCH, jobs.TUNED)
    machine.use_all_cores(with_torch=torch)
    if side == "unpooled":
        device("cpu").pool = NoPool()  # type: ignore[assignment]
    run = (step.torch_step(variant, batch, fused=side == jobs.TUNED) if torch
           else step.tinyconv_step(variant, batch)).run
    for _ in range(warm):
        run()
    faults, seconds = [], []
    for _ in range(steps):
        faults_before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults_before)
    print(json.dumps({
        "side": side, "variant": variant, "batch": batch, "warm_steps": warm, "steps": steps,
        "faults_per_step": statistics.median(faults), "faults": faults, "seconds_per_step": statistics.median(seconds),
        "peak_bytes": _peak_bytes(), "page_bytes": resource.getpagesize(),
        "allocated_bytes": None if torch else _allocated(run)}))


def _allocated(run: Any) -> int:
    """Bytes by which what Python and NumPy hold rises above its level before the step: an upper bound for the largest
    single allocation."""
    tracemalloc.start()
    run()  # what this one keeps for the next is counted from the start
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return max(0, peak - before)


def _peak_bytes() -> int:
    """The largest resident memory of this process.

    Linux's own count first: ru_maxrss would include the process that started this one."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
