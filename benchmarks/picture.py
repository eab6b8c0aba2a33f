"""The picture: a roofline (Williams, Waterman, Patterson 2009), tinyconv at the left, PyTorch at the right.

Across: arithmetic intensity, floating-point operations per byte that the mathematics must move.  Up: GFLOP/s.  The
roof is what this machine was measured to do at best: bytes on the slope, multiply-adds on the flat.  A point on the
roof cannot be faster by that count; Winograd's algorithm may stand above it, for it does with fewer multiplications.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen before it is imported)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import NullFormatter  # noqa: E402

from .peak import Peak  # noqa: E402
from .report import OURS, RIVALS, THEIRS, TUNED, Report, Result, write  # noqa: E402

# One colour for each pass, one marker for each network; both told apart without colour, too.
COLORS = {"forward": "#1b6ca8", "input gradient": "#c4572e", "weight gradient": "#3b8f4e"}
MARKERS = {"alexnet": "o", "convnet": "D", "vgg16": "s", "googlenet": "^", "resnet50": "v"}
LINEAR = "X"  # AlexNet's linear layers stand at the left


def draw(report: Report, path: Path) -> None:
    """Write the picture as a PNG file.  Results without a count of operations are not in it."""
    results = [result for result in report.results if result.intensity]
    sides = [OURS, *[side for side in (TUNED, THEIRS) if any(side in r.timings for r in results)][:1]]
    figure, axes = plt.subplots(1, len(sides), squeeze=False, layout="constrained", sharex=True, sharey=True,
                                figsize=(6.6 * len(sides), 5.6))
    for side, panel in zip(sides, axes[0], strict=True):
        _roof(panel, report.peak, results)
        _points(panel, [r for r in results if side in r.timings], side)
        panel.set_title({OURS: "tinyconv", TUNED: "PyTorch, tuned"}.get(side, RIVALS.get(side)), fontsize=11)
        panel.set_xlabel("arithmetic intensity, FLOP / byte")
    axes[0][0].set_ylabel("GFLOP/s")
    _legend(figure, results)
    machine, versions = report.about["machine"], report.about["versions"]
    torch = f", PyTorch {versions['torch']}" if versions.get("torch") else ""
    figure.suptitle(f"tinyconv {versions['tinyconv']}{torch} on {machine['cpu']}, {machine['cores']} cores",
                    fontsize=10)
    write(path, lambda part: figure.savefig(part, format="png", dpi=110))
    plt.close(figure)


def _roof(axes: Any, peak: Peak, results: Sequence[Result]) -> None:
    """The two measured bounds over the intensities that occur, and the ridge where they meet."""
    intensities = [r.intensity for r in results] or [1.0]
    ridge = peak.gflops / peak.gbytes
    low, high = min(0.5 * ridge, *intensities) / 2, max(4 * ridge, *intensities) * 2
    middle = (low * ridge) ** 0.5
    axes.loglog([low, ridge, high], [low * peak.gbytes, peak.gflops, peak.gflops], color="black", linewidth=1.4)
    axes.axhline(peak.gflops_one_core, color="black", linewidth=0.7, linestyle=":")
    for text, x, y, offset, side in (
            (f"{peak.gflops:.0f} GFLOP/s, all cores", high, peak.gflops, (-4, 4), "right"),
            (f"{peak.gflops_one_core:.0f} GFLOP/s, one core", high, peak.gflops_one_core, (-4, -11), "right"),
            (f"copy, {peak.gbytes:.0f} GB/s", middle, middle * peak.gbytes, (6, -8), "left")):
        axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", ha=side, fontsize=8)
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_formatter(NullFormatter())  # 3, 4 and 6 x 10^0 side by side leave no room for each other
    axes.grid(which="major", alpha=0.3)
    axes.set_axisbelow(True)


def _points(axes: Any, results: Sequence[Result], side: str) -> None:
    for r in results:
        axes.plot(r.intensity, r.rate(side), _marker(r), color=COLORS.get(r.which, "#666666"), markersize=5,
                  markeredgewidth=0, alpha=0.65)


def _marker(result: Result) -> str:
    return LINEAR if result.kind == "linear" else MARKERS.get(result.network, "o")


def _legend(figure: Any, results: Sequence[Result]) -> None:
    """Below the panels; only what occurs."""
    passes = {r.which for r in results}
    networks = {"alexnet linear" if r.kind == "linear" else r.network: _marker(r) for r in results}
    handles = [Line2D([], [], marker="o", linestyle="", color=color, label=name)
               for name, color in COLORS.items() if name in passes]
    handles += [Line2D([], [], marker=marker, linestyle="", color="#666666", label=name)
                for name, marker in networks.items()]
    if handles:
        figure.legend(handles=handles, fontsize=8, loc="outside lower center", frameon=False,
                      ncols=min(len(handles), 5 * len(figure.axes)))  # so many fit below a panel
