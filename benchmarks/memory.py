"""Page faults and peak memory of warm training steps: with tinyconv's memory pool, without it, and in PyTorch.

A page fault is the system handing out a page (usually 4 KiB) at its first touch, zeroed.  A step that reuses its memory
causes none.  Each measurement is a process of its own, so that one's memory is not another's: run this file as

    python -m benchmarks.memory --side tinyconv --variant caffe --batch 32

and it prints one JSON object.  "unpooled" is tinyconv with a device that asks the system for every array afresh.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv.device import device

from . import machine, step

SIDES = ("tinyconv", "unpooled", "torch")


class NoPool:
    """In place of a device's pool: every array is new, and freed when its last view is gone."""

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        return np.empty(shape, dtype)


def measure(side: str, variant: str, batch: int, warm: int = 2, steps: int = 3) -> dict[str, Any]:
    """Run :func:`count` in a fresh process.  Raises CalledProcessError if that fails; what it wrote is on stderr."""
    options = {"side": side, "variant": variant, "batch": batch, "warm": warm, "steps": steps}
    command = [sys.executable, "-m", "benchmarks.memory", *(f"--{name}={value}" for name, value in options.items())]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def count(side: str, variant: str, batch: int, warm: int, steps: int) -> dict[str, Any]:
    """Minor page faults and seconds of a step (medians of ``steps`` after ``warm`` others), and this process's largest
    resident memory in bytes."""
    machine.use_all_cores(with_torch=side == "torch")
    if side == "unpooled":
        device("cpu").pool = NoPool()  # type: ignore[assignment]
    run = (step.torch_step if side == "torch" else step.tinyconv_step)(variant, batch).run
    for _ in range(warm):
        run()
    faults, seconds = [], []
    for _ in range(steps):
        faults_before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults_before)
    return {"side": side, "variant": variant, "batch": batch, "warm_steps": warm, "steps": steps,
            "faults_per_step": statistics.median(faults), "faults": faults,
            "seconds_per_step": statistics.median(seconds), "peak_bytes": _peak_bytes(),
            "page_bytes": resource.getpagesize()}


def _peak_bytes() -> int:
    """The largest resident memory of this process.

    Linux's own count first: ru_maxrss would include the process that started this one."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Page faults of a training step.")
    parser.add_argument("--side", choices=SIDES, default="tinyconv")
    parser.add_argument("--variant", choices=list(step.VARIANTS), default="caffe")
    parser.add_argument("--batch", type=int, default=32, help="images in a step (default 32)")
    parser.add_argument("--warm", type=int, default=2, help="steps before the counted ones (default 2)")
    parser.add_argument("--steps", type=int, default=3, help="counted steps (default 3)")
    print(json.dumps(count(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
