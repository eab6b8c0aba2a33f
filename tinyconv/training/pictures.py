"""The pictures of a run: its curves, and what the first layer has learnt to see."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..safefile import temporary_beside


def curves(history: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Loss and accuracy by epoch, as a PNG.  ``history``: the lines of the log."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [line["epoch"] for line in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for axes, quantities, scale in ((loss, ("loss",), 1), (accuracy, ("top1", "top5"), 100)):
        for quantity, style in zip(quantities, ("-", "--"), strict=False):
            for split, colour in (("train", "tab:blue"), ("val", "tab:orange")):
                values = [scale * line[f"{split}_{quantity}"] for line in history]
                axes.plot(epochs, values, style, color=colour, marker=".",
                          label=f"{'training' if split == 'train' else 'validation'}"
                                + (f" {quantity[:3]}-{quantity[3:]}" if len(quantities) > 1 else ""))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    loss.set_ylabel("cross-entropy")
    accuracy.set_ylabel("accuracy [%]")
    _write(figure, path)


def filters(towers: Sequence[np.ndarray], path: str | os.PathLike[str]) -> None:
    """The filters of the first layer as a PNG, see :func:`draw_filters`."""
    _write(draw_filters(towers), path)


def draw_filters(towers: Sequence[np.ndarray]) -> Any:
    """The filters of the first layer as a figure, one panel for each tower.

    towers: weights (K, 3, R, S) of each.  Each filter is stretched on its own so that 0 is mid-grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(towers), 6.4), layout="constrained")
    for i, (axes, weights) in enumerate(zip(np.atleast_1d(figure.subplots(1, len(towers))), towers, strict=True)):
        axes.imshow(_mosaic(weights), interpolation="nearest")
        place = f"conv1, tower {i}" if len(towers) > 1 else "conv1"
        axes.set_title(f"{place} ({len(weights)} filters)")
        axes.set_axis_off()
    return figure


def _mosaic(weights: np.ndarray) -> np.ndarray:
    """Filters side by side, about as many rows as columns, with white lines between."""
    count, _, height, width = weights.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    canvas = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shown = 0.5 + weights / np.where(largest > 0, 2 * largest, 1)
    for k, tile in enumerate(shown.transpose(0, 2, 3, 1)):
        top, left = k // columns * (height + 1) + 1, k % columns * (width + 1) + 1
        canvas[top:top + height, left:left + width] = tile
    return canvas


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    with temporary_beside(Path(path)) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    figure.clear()
    gc.collect()  # a figure is full of cycles: megabytes, which would pile up for a dozen epochs
