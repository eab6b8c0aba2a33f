"""The table and the JSON.

JSON, format 1: ``versions`` and ``figures``, a list with an object per kernel and architecture (see ``figures.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tinyconv.safefile import write_text

from .figures import Figures

FORMAT = 1
_COLUMNS = (f"  {'arch':<7}{'regs':>5}{'spills':>7}{'shared':>11}{'occupancy':>11} {'limited by':<10}{'hot loop':>9}"
            f"{'FMA':>6}{'B/FMA shared':>13}{'global':>8}{'ceiling':>9} {'limited by':<11}{'B/load':>7}{'loads':>6}"
            f"{'KiB/SM':>8}")
_LEGEND = """\
spills: instructions that access local memory.  shared: bytes per block, static + dynamic.  hot loop: its instructions,
in brackets the whole kernel's where there is no loop.  FMA: share of the multiply-adds among them.  B/FMA: bytes loaded
per multiply-add.  ceiling: of the FP32 peak (T: of the tensor cores' TF32 peak), see benchmarks/cuda/ceiling.py.
loads: issued by a thread before it waits for one; KiB/SM: what an SM then has in flight.
These are static figures, read from machine code; they are no measurements."""


def table(figures: Sequence[Figures], versions: dict[str, str]) -> str:
    return "\n".join([", ".join(f"{name} {version}" for name, version in versions.items()), "", _COLUMNS,
                      *_lines(figures), "", _LEGEND])


def as_json(figures: Sequence[Figures], versions: dict[str, str]) -> dict[str, Any]:
    return {"format": FORMAT, "versions": versions, "figures": [each.as_json() for each in figures]}


def write_json(figures: Sequence[Figures], versions: dict[str, str], path: Path) -> None:
    write_text(path, json.dumps(as_json(figures, versions), indent=1) + "\n")


def _lines(figures: Sequence[Figures]) -> Iterator[str]:
    for kernel, group in groupby(sorted(figures, key=lambda f: (f.kernel, f.architecture)), key=lambda f: f.kernel):
        of_kernel = list(group)
        yield f"{kernel}, {of_kernel[0].threads} threads"
        yield from map(_line, of_kernel)


def _line(f: Figures) -> str:
    loop = str(f.instructions) if f.looped else f"({f.instructions})"
    left = (f"  sm_{f.architecture:<4}{f.registers:>5}{f.spills:>7}{_shared(f):>11}{f.occupancy:>11.0%} "
            f"{f.occupancy_limiter:<10}{loop:>9}")
    if f.multiplies:
        middle = (f"{f.fma_share:>6.0%}{f.shared_bytes_per_fma:>13.2f}{f.global_bytes_per_fma:>8.2f}{f.ceiling:>8.0%}"
                  f"{'T' if f.tensor else ' '} {f.ceiling_limiter:<11}")
    else:
        middle = f"{'-':>6}{'-':>13}{'-':>8}{'-':>8}  {'':<11}"
    return left + middle + f"{f.load_bytes:>7.1f}{f.loads_in_flight:>6}{f.bytes_in_flight / 1024:>8.1f}"


def _shared(f: Figures) -> str:
    return f"{f.shared}+{f.dynamic_shared}" if f.dynamic_shared else str(f.shared)
