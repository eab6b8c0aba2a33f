"""The picture: how many times as fast as PyTorch, and how near to the peak, one column for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen before it is imported)

from .report import OURS, THEIRS, Report, Result, write  # noqa: E402

FASTER, SLOWER, OTHER = "#2b7a4b", "#c4572e", "#8a94a6"
LINE = 0.17  # inches for each bar


def draw(report: Report, path: Path) -> None:
    """Write the picture as a PNG file."""
    columns = [(section, list(results)) for section, results in groupby(report.results, key=lambda r: r.section)]
    bars = max(len(results) for _, results in columns), max(sum(r.flops > 0 for r in results) for _, results in columns)
    heights = [max(4, n) + 4 for n in bars]  # 4 more for titles and axes
    figure, axes = plt.subplots(2, len(columns), squeeze=False, layout="constrained",
                                gridspec_kw={"height_ratios": heights},
                                figsize=(5.2 * len(columns), LINE * sum(heights) + 1))
    for (title, results), upper, lower in zip(columns, axes[0], axes[1], strict=True):
        _compare(upper, results, title)
        _against_peak(lower, [r for r in results if r.flops], report.peak.gflops)
        for axis, n in ((upper, bars[0]), (lower, bars[1])):
            axis.set_ylim(max(4, n) - 0.4, -0.6)  # top to bottom; bars equally thick in all columns
    machine, versions = report.about["machine"], report.about["versions"]
    figure.suptitle(f"AlexNet, tinyconv {versions['tinyconv']} and PyTorch {versions['torch'] or '(absent)'} on "
                    f"{machine['cpu']}, {machine['cores']} cores", fontsize=10)
    write(path, lambda part: figure.savefig(part, format="png", dpi=110))
    plt.close(figure)


def _compare(axes: Any, results: Sequence[Result], title: str) -> None:
    """Bars of PyTorch's time over tinyconv's, from the line at 1, logarithmic; without PyTorch, milliseconds."""
    ratios = [r.ratio for r in results if r.ratio is not None]
    if len(ratios) < len(results):
        axes.barh(range(len(results)), [r.timings[OURS].median * 1e3 for r in results], color=OTHER)
        axes.set_xlabel("milliseconds")
        axes.set_xscale("log")
    else:
        colors = [FASTER if r >= 1 else SLOWER for r in ratios]
        axes.barh(range(len(results)), [r - 1 for r in ratios], left=1, color=colors)
        axes.set_xscale("log")
        low, high = min(0.25, *ratios) / 2.5, max(4, *ratios) * 2.5  # room for the numbers
        axes.set_xlim(low, high)
        ticks = [t for t in (0.01, 0.1, 0.5, 1, 2, 10, 100) if low < t < high]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.axvline(1, color="black", linewidth=0.8)
        for i, ratio in enumerate(ratios):
            axes.text(ratio, i, f" {ratio:.2f} ", va="center", ha="left" if ratio >= 1 else "right", fontsize=7)
        axes.set_xlabel("PyTorch's time / tinyconv's: right of 1 tinyconv is faster", fontsize=8)
    axes.set_title(title, fontsize=10)
    _name_bars(axes, results)


def _against_peak(axes: Any, results: Sequence[Result], peak: float) -> None:
    """GFLOP/s of what is bound by arithmetic, and a line at the measured peak."""
    if not results:
        axes.axis("off")
        return
    axes.barh(range(len(results)), [r.rate() for r in results], color=OTHER, label="tinyconv")
    if all(THEIRS in r.timings for r in results):
        axes.plot([r.rate(THEIRS) for r in results], range(len(results)), "k|", markersize=8, label="PyTorch")
    axes.axvline(peak, color=SLOWER, linestyle="--", linewidth=1, label=f"peak {peak:.0f}")
    axes.set_xlim(0, 1.05 * max(peak, *(r.rate(side) for r in results for side in r.timings)))
    axes.set_xlabel("GFLOP/s")
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    _name_bars(axes, results)


def _name_bars(axes: Any, results: Sequence[Result]) -> None:
    axes.set_yticks(range(len(results)), [f"{r.layer} {r.what}" for r in results], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
