"""What came out: results as data, the table, and the JSON.

JSON, format 1: ``date``, ``machine``, ``versions``, ``threads``, ``settings``, ``peak`` (GFLOP/s on one core and on
all, GB/s), ``results`` (a line of the table each; seconds) and ``memory`` (one object per side and network).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tinyconv.safefile import make_folder, temporary_beside

from .peak import Peak
from .timing import Timing

FORMAT = 1
OURS, THEIRS = "tinyconv", "torch"


@dataclass(frozen=True)
class Result:
    """A line of the table.  ``batch`` is None where it plays no part; ``flops`` is 0 where memory is what counts."""

    layer: str
    kind: str
    which: str
    batch: int | None
    flops: int
    bytes: int
    timings: dict[str, Timing]

    @property
    def ratio(self) -> float | None:
        """PyTorch's time over tinyconv's: how many times as fast tinyconv is.  None without PyTorch."""
        if THEIRS not in self.timings:
            return None
        return self.timings[THEIRS].median / self.timings[OURS].median

    @property
    def section(self) -> str:
        """Where it stands in the table."""
        return "whole network" if self.kind in ("update", "step") else f"batch {self.batch}"

    @property
    def what(self) -> str:
        return f"{self.which}, batch {self.batch}" if self.kind == "step" else self.which

    def rate(self, side: str = OURS) -> float:
        """1e9 operations a second, or 1e9 bytes a second where no operations are counted."""
        return (self.flops or self.bytes) / self.timings[side].median / 1e9

    @property
    def unit(self) -> str:
        return "GFLOP/s" if self.flops else "GB/s"

    def share(self, peak: Peak, side: str = OURS) -> float:
        """``rate`` as a share of the measured peak.

        Where bytes count it may exceed 1: small arrays stay in the caches, and a copy, the measure, writes as much as
        it reads, which memory likes less than reading."""
        return self.rate(side) / (peak.gflops if self.flops else peak.gbytes)

    def as_json(self, peak: Peak) -> dict[str, Any]:
        sides = {side: {"median_s": t.median, "quartiles_s": list(t.quartiles), "best_s": t.best,
                        "runs": len(t.seconds), "rate": self.rate(side), "share_of_peak": self.share(peak, side)}
                 for side, t in self.timings.items()}
        return {"layer": self.layer, "kind": self.kind, "pass": self.which, "batch": self.batch, "flops": self.flops,
                "bytes": self.bytes, "unit": self.unit, "sides": sides, "ratio": self.ratio}


@dataclass(frozen=True)
class Report:
    """Everything that a run found out; ``about`` is date, machine, versions, threads and settings."""

    about: dict[str, Any]
    peak: Peak
    results: Sequence[Result]
    memory: Sequence[dict[str, Any]] = ()

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **self.about, "peak": asdict(self.peak),
                "results": [result.as_json(self.peak) for result in self.results], "memory": list(self.memory)}

    def table(self) -> str:
        return "\n".join([*_heading(self), *_lines(self), *_memory_lines(self.memory)])


def _heading(report: Report) -> Iterator[str]:
    machine, versions, peak = report.about["machine"], report.about["versions"], report.peak
    others = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "numba", "torch") if versions.get(name))
    yield f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['isa'])})"
    yield f"Python {versions['python']}, {others}; commit {versions['commit']}; load at the start {machine['load']}"
    yield (f"measured peak: {peak.gflops:.0f} GFLOP/s (one core {peak.gflops_one_core:.0f}), "
           f"copy {peak.gbytes:.1f} GB/s")
    yield "times are medians; ratio: PyTorch's time / tinyconv's (above 1 tinyconv is faster)"


def _lines(report: Report) -> Iterator[str]:
    with_torch = any(THEIRS in result.timings for result in report.results)
    for section, results in groupby(report.results, key=lambda r: r.section):
        yield ""
        yield section
        header = f"{'layer':<12}{'pass':<25}{'tinyconv':>12}{'runs':>6}{'rate':>16}{'of peak':>9}"
        yield header + (f"{'PyTorch':>14}{'rate':>8}{'ratio':>9}" if with_torch else "")
        for result in results:
            ours = result.timings[OURS]
            line = (f"{result.layer:<12}{result.what:<25}{_ms(ours)}{len(ours.seconds):>6}"
                    f"{result.rate():>8.1f} {result.unit:<7}{result.share(report.peak):>9.0%}")
            if result.ratio is not None:
                line += f"  {_ms(result.timings[THEIRS])}{result.rate(THEIRS):>8.1f}{result.ratio:>8.2f}x"
            yield line


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1e3:>9.3f} ms"


def _memory_lines(memory: Sequence[dict[str, Any]]) -> Iterator[str]:
    if memory:
        yield ""
        yield "warm training step, each side in its own process"
        yield f"{'network':<13}{'batch':>6}  {'side':<10}{'page faults':>12}{'time':>13}{'peak memory':>14}"
    for m in memory:
        yield (f"{m['variant']:<13}{m['batch']:>6}  {m['side']:<10}{m['faults_per_step']:>12,.0f}"
               f"{m['seconds_per_step'] * 1e3:>10.0f} ms{m['peak_bytes'] / 2 ** 20:>10,.0f} MiB")


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a file under a temporary name, then rename it: a reader never sees half a file."""
    make_folder(path.parent)
    with temporary_beside(path) as part:
        save(part)


def write_json(report: Report, path: Path) -> None:
    write(path, lambda part: part.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8"))
