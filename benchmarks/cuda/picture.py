"""The picture: the ceilings of the kernels that stand on a ladder, a bar per architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen before it is imported)
from tinyconv.kernels.gpu import ladder  # noqa: E402

from ..report import write  # noqa: E402
from .figures import Figures  # noqa: E402

COLORS = ("#1b6ca8", "#c4572e", "#3b8f4e", "#8a5aa8", "#b8912f", "#5f6b73")
_LAYERS = tuple(f"{function.split('.')[0]}/" for function in ladder.RUNGS)


def draw(figures: Sequence[Figures], path: Path) -> None:
    """Write the picture as a PNG file.  Memory bounds the other layers: a share of the FP32 peak says nothing there."""
    shown = [each for each in figures if each.multiplies and each.kernel.startswith(_LAYERS)]
    kernels = sorted({each.kernel for each in shown}, reverse=True)
    architectures = sorted({each.architecture for each in shown})
    thickness = 0.8 / max(1, len(architectures))
    figure, axes = plt.subplots(figsize=(10, 1.4 + 0.45 * len(kernels)), layout="constrained")
    for i, (architecture, color) in enumerate(zip(architectures, COLORS, strict=False)):
        bars = [each for each in shown if each.architecture == architecture]
        axes.barh([kernels.index(each.kernel) + 0.4 - (i + 0.5) * thickness for each in bars],
                  [100 * each.ceiling for each in bars], thickness, color=color, label=f"sm_{architecture}")
    axes.set_yticks(range(len(kernels)), kernels, fontsize=8)
    axes.set_ylim(-0.6, len(kernels) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("static ceiling, % of the FP32 peak (tf32: of the TF32 peak)")
    axes.grid(axis="x", linewidth=0.3)
    if shown:
        figure.legend(fontsize=8, ncols=len(architectures), loc="outside upper center", frameon=False)
    write(path, lambda part: figure.savefig(part, format="png", dpi=110))
    plt.close(figure)
