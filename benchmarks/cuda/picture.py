"""The picture: the ceiling of every kernel whose hot loop multiplies and adds, a bar per architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen before it is imported)

from ..report import write  # noqa: E402
from .figures import Figures  # noqa: E402

COLORS = ("#1b6ca8", "#c4572e", "#3b8f4e", "#8a5aa8", "#b8912f", "#5f6b73")


def draw(figures: Sequence[Figures], path: Path) -> None:
    """Write the picture as a PNG file."""
    shown = [each for each in figures if each.multiplies]
    kernels = sorted({each.kernel for each in shown}, reverse=True)
    architectures = sorted({each.architecture for each in shown})
    thickness = 0.8 / max(1, len(architectures))
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.5 * len(kernels)), layout="constrained")
    for i, (architecture, color) in enumerate(zip(architectures, COLORS, strict=False)):
        bars = [each for each in shown if each.architecture == architecture]
        axes.barh([kernels.index(each.kernel) + 0.4 - (i + 0.5) * thickness for each in bars],
                  [100 * each.ceiling for each in bars], thickness, color=color, label=f"sm_{architecture}")
    axes.set_yticks(range(len(kernels)), kernels, fontsize=8)
    axes.set_xlim(0, 100)
    axes.set_xlabel("static ceiling, % of the FP32 peak (kernels with tensor cores: of the TF32 peak)")
    axes.grid(axis="x", linewidth=0.3)
    if shown:
        axes.legend(fontsize=8, ncols=len(architectures), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    write(path, lambda part: figure.savefig(part, format="png", dpi=110))
    plt.close(figure)
