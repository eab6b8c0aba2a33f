"""What came out: results as data, the table, and the JSON.

JSON, format 2: ``date``, ``machine``, ``versions``, ``threads``, ``settings``, ``peak`` (GFLOP/s on one core and on
all, GB/s), ``results`` (a line of the table each; seconds), ``memory`` (one object per side and network), ``profile``
(where the time of a training step goes, one object per network), ``startup`` and ``failures``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tinyconv.safefile import make_folder, temporary_beside

from .jobs import TINYCONV, TORCH, WHOLE
from .jobs import TUNED as TUNED_TORCH
from .peak import Peak
from .startup import MILESTONES
from .timing import Timing

FORMAT = 2
OURS, THEIRS, TUNED = TINYCONV, TORCH, TUNED_TORCH
RIVALS = {THEIRS: "PyTorch", TUNED: "tuned"}


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
    network: str = "alexnet"

    @property
    def ratio(self) -> float | None:
        """PyTorch's time over tinyconv's: how many times as fast tinyconv is.  The tuned PyTorch's if there is one;
        None without PyTorch."""
        return self.ratio_to(TUNED if TUNED in self.timings else THEIRS)

    def ratio_to(self, side: str) -> float | None:
        return self.timings[side].median / self.timings[OURS].median if side in self.timings else None

    @property
    def section(self) -> str:
        """Where it stands in the table."""
        if self.kind in ("update", *WHOLE):
            return "whole networks"
        return f"{self.network}, batch {self.batch}"

    @property
    def what(self) -> str:
        return f"{self.which}, batch {self.batch}" if self.kind in WHOLE else self.which

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte that must move; 0 if either is not counted."""
        return self.flops / self.bytes if self.bytes else 0.0

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
                        "runs": len(t.seconds), "dropped": t.dropped, "disturbed": t.disturbed, "layout": t.way or None,
                        "rate": self.rate(side), "share_of_peak": self.share(peak, side),
                        "ratio": self.ratio_to(side)}
                 for side, t in self.timings.items()}
        return {"network": self.network, "layer": self.layer, "kind": self.kind, "pass": self.which,
                "batch": self.batch, "flops": self.flops, "bytes": self.bytes, "unit": self.unit, "sides": sides,
                "ratio": self.ratio}


@dataclass(frozen=True)
class Report:
    """Everything that a run found out; ``about`` is date, machine, versions, threads and settings."""

    about: dict[str, Any]
    peak: Peak
    results: list[Result]
    memory: list[dict[str, Any]] = field(default_factory=list)
    profile: list[dict[str, Any]] = field(default_factory=list)
    startup: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **self.about, "peak": asdict(self.peak),
                "results": [result.as_json(self.peak) for result in self.results], "memory": list(self.memory),
                "profile": list(self.profile), "startup": list(self.startup), "failures": list(self.failures)}

    def table(self) -> str:
        return "\n".join([*_heading(self), *_lines(self), *_memory_lines(self.memory), *_profile_lines(self.profile),
                          *_startup_lines(self.startup), *(f"not measured: {failure}" for failure in self.failures)])


def _heading(report: Report) -> Iterator[str]:
    machine, versions, peak = report.about["machine"], report.about["versions"], report.peak
    others = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "numba", "torch") if versions.get(name))
    yield f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['isa'])})"
    yield f"Python {versions['python']}, {others}; commit {versions['commit']}; load at the start {machine['load']}"
    yield (f"measured peak: {peak.gflops:.0f} GFLOP/s (one core {peak.gflops_one_core:.0f}), "
           f"copy {peak.gbytes:.1f} GB/s")
    yield "times are medians; ratio: PyTorch's time / tinyconv's (above 1 tinyconv is faster)"
    if any(TUNED in result.timings for result in report.results):
        yield "tuned: PyTorch that keeps its memory, in the better layout (n: NCHW, c: channels_last), SGD(fused=True)"
    if any(t.disturbed for result in report.results for t in result.timings.values()):
        yield "*: other programs disturbed too many samples to drop them all"


def _lines(report: Report) -> Iterator[str]:
    rivals = [side for side in RIVALS if any(side in result.timings for result in report.results)]
    width = 2 + max([10, *(len(result.layer) for result in report.results)])
    for section, results in groupby(report.results, key=lambda r: r.section):
        yield ""
        yield section
        header = f"{'layer':<{width}}{'pass':<26}{'tinyconv':>12}{'runs':>6}{'rate':>16}{'of peak':>9}"
        yield header + "".join(f"{RIVALS[side]:>14}{'rate':>8}{'ratio':>9}" for side in rivals)
        for result in results:
            ours = result.timings[OURS]
            line = (f"{result.layer:<{width}}{result.what:<26}{_ms(ours)}{len(ours.seconds):>6}"
                    f"{result.rate():>8.1f} {result.unit:<7}{result.share(report.peak):>9.0%}")
            yield line + "".join(_rival(result, side) for side in rivals if side in result.timings)


def _rival(result: Result, side: str) -> str:
    timing = result.timings[side]
    layout = {"channels_last": " c", "NCHW": " n"}.get(timing.way, "") if side == TUNED else ""
    return f"  {_ms(timing)}{result.rate(side):>8.1f}{result.ratio_to(side) or 0:>8.2f}x{layout}"


def _ms(timing: Timing) -> str:
    return f"{timing.median * 1e3:>9.3f} ms" + "*" * timing.disturbed


def _memory_lines(memory: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if memory:
        yield ""
        yield "warm training step, each side in its own process; allocated: by how much NumPy's memory rises in a step"
        yield (f"{'network':<13}{'batch':>6}  {'side':<10}{'page faults':>12}{'time':>13}{'peak memory':>14}"
               f"{'allocated':>14}")
    for m in memory:
        allocated = m.get("allocated_bytes")
        yield (f"{m['variant']:<13}{m['batch']:>6}  {m['side']:<10}{m['faults_per_step']:>12,.0f}"
               f"{m['seconds_per_step'] * 1e3:>10.0f} ms{m['peak_bytes'] / 2 ** 20:>10,.0f} MiB"
               + (f"{allocated / 2 ** 10:>10,.0f} KiB" if allocated is not None else ""))


def _profile_lines(profiles: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for profile in profiles:
        whole = profile["seconds_per_step"]
        launched = sum(row["seconds"] for row in profile["launches"])
        yield ""
        yield (f"where the step's time goes: {profile['variant']}, batch {profile['batch']}, {whole * 1e3:.0f} ms; "
               f"packing and re-layout {profile['relayout_seconds'] / whole:.1%}")
        rows = [*profile["launches"], {"name": "between launches", "calls": 1, "seconds": whole - launched},
                *({**row, "name": f"within launches: {row['name']}"} for row in profile["functions"])]
        for row in rows:
            yield (f"  {row['name']:<44}{row['calls']:>6.0f} x{row['seconds'] * 1e3:>10.2f} ms"
                   f"{row['seconds'] / whole:>7.1%}")


def _startup_lines(startups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for found in startups:
        yield ""
        yield f"start-up, {found['variant']}, batch 1; compiling takes {found['compile_seconds']:.1f} s, once"
        yield f"  {'seconds until':<24}{'empty cache':>14}{'warm cache':>14}"
        for name, milestone in MILESTONES.items():
            yield f"  {milestone:<24}{found['cold'][name]:>14.2f}{found['warm'][name]:>14.2f}"


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a file under a temporary name, then rename it: a reader never sees half a file."""
    make_folder(path.parent)
    with temporary_beside(path) as part:
        save(part)


def write_json(report: Report, path: Path) -> None:
    write(path, lambda part: part.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8"))
