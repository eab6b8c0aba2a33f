"""Where a training step's time goes: the wall time of each kernel launch, summed by the kernel's name.

Nothing in the kernels measures time.  Here, in a process of its own, ``Device.launch`` is wrapped by a stopwatch; and
so are, in a second pass, those parallel loops of the kernels that only move data about, for packing happens inside a
launch.  What a loop moves on its way (a panel that a task packs for itself, tiles on their way to Winograd's transform)
is not told apart from what it computes.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from tinyconv.device import Device

from . import jobs, machine, step
from .processes import report_of

# What counts as packing and re-layout: patterns for names of launches, and of the loops that launches call, where they
# call them ("conv.direct.pack").  Copies of elements are launches.
RELAYOUT = {"launches": r"copy", "functions": r"^(?!elementwise).*\._?(pack|frame|copy)"}


def measure(variant: str, batch: int, steps: int = 3) -> dict[str, Any]:
    """Run :func:`count` in a fresh process."""
    return report_of(jobs.TINYCONV, "breakdown", "count", variant=variant, batch=batch, steps=steps)


def count(variant: str, batch: int, steps: int) -> None:
    """Prints: seconds of a step, and of its launches and of the functions that move data, by name."""
    machine.use_all_cores(with_torch=False)
    run = step.tinyconv_step(variant, batch).run
    for _ in range(2):
        run()
    seconds = []
    with launches_timed() as launches:
        for _ in range(steps):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
    with functions_timed() as functions:
        for _ in range(steps):
            run()
    relayout = sum(sum(found) for name, found in launches.items() if re.search(RELAYOUT["launches"], name))
    relayout += sum(sum(found) for found in functions.values())
    print(json.dumps({"variant": variant, "batch": batch, "steps": steps, "seconds_per_step": statistics.mean(seconds),
                      "launches": _rows(launches, steps), "functions": _rows(functions, steps),
                      "relayout_seconds": relayout / steps}))


@contextmanager
def launches_timed() -> Iterator[dict[str, list[float]]]:
    """Kernel name -> seconds of each launch inside the block.  A queued launch is waited for."""
    found: dict[str, list[float]] = defaultdict(list)
    launch = Device.launch

    def timed(device: Device, kernel: str, *arrays: Any, **options: Any) -> None:
        begin = time.perf_counter()
        launch(device, kernel, *arrays, **options)
        device.synchronize()
        found[kernel].append(time.perf_counter() - begin)

    with mock.patch.object(Device, "launch", timed):
        yield found


@contextmanager
def functions_timed() -> Iterator[dict[str, list[float]]]:
    """The same for the parallel loops that :data:`RELAYOUT` names, in all kernel modules that are loaded.

    Everything must have been compiled before: a stopwatch cannot be compiled into a kernel."""
    found: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        for name, module, attribute in list(_movers()):
            stopwatch = _stopwatch(getattr(module, attribute), found[name])
            stack.enter_context(mock.patch.object(module, attribute, stopwatch))
        yield found


def _movers() -> Iterator[tuple[str, ModuleType, str]]:
    """A helper is no loop: other loops have it compiled in."""
    for path, module in list(sys.modules.items()):
        if path.startswith("tinyconv.kernels."):
            for attribute, value in vars(module).items():
                name = f"{path.removeprefix('tinyconv.kernels.')}.{attribute}"
                if getattr(value, "targetoptions", {}).get("parallel") and re.search(RELAYOUT["functions"], name):
                    yield name, module, attribute


def _stopwatch(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments, **options)
        seconds.append(time.perf_counter() - begin)
        return result

    return timed


def _rows(found: dict[str, list[float]], steps: int) -> list[dict[str, Any]]:
    """Most time first; per step."""
    rows = [{"name": name, "calls": len(seconds) / steps, "seconds": sum(seconds) / steps}
            for name, seconds in found.items() if seconds]
    return sorted(rows, key=lambda row: -float(row["seconds"]))
