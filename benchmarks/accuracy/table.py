"""From the results of runs to a line for each side and kind of crops, and to how far the sides are apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyconv.safefile import temporary_beside, write_text

from .. import markdown
from ..spread import percent, spread
from .recipe import CROPS, SIDES

Results = Sequence[dict[str, Any]]
TOPS = ("top1", "top5")


def lines(results: Results) -> list[dict[str, Any]]:
    """For each side and kind of crops: over the seeds, mean, least and most of top-1 and top-5 (shares of 1)."""
    return [{"side": side, "crops": crops, "seeds": [r["settings"]["seed"] for r in own],
             **{top: spread(r[crops][top] for r in own) for top in TOPS}}
            for side in SIDES if (own := _of(results, side)) for crops in CROPS]


def apart(results: Results) -> dict[str, dict[str, float]]:
    """tinyconv's mean minus PyTorch's (shares of 1), by crops and top; {} while one side has no results."""
    by_line = {(line["side"], line["crops"]): line for line in lines(results)}
    if len(by_line) < len(SIDES) * len(CROPS):
        return {}
    ours, theirs = SIDES
    return {crops: {top: by_line[ours, crops][top]["mean"] - by_line[theirs, crops][top]["mean"] for top in TOPS}
            for crops in CROPS}


def text(results: Results) -> str:
    """Markdown: the table, and a sentence on how far the sides are apart."""
    rows = [(line["side"], CROPS[line["crops"]], str(len(line["seeds"])), *(percent(line[top], 2) for top in TOPS))
            for line in lines(results)]
    table = markdown.table(("", "crops", "seeds", "top-1 [%]", "top-5 [%]"), rows)
    images = {r["images"] for r in results}
    notes = [f"Mean (least to most) over the seeds, on {' or '.join(f'{n:,}' for n in sorted(images))} validation "
             "photos after the last epoch."]
    if difference := apart(results):
        notes.append("tinyconv less PyTorch, in points: " + "; ".join(
            f"{CROPS[crops]} {100 * tops['top1']:+.2f} (top-1) and {100 * tops['top5']:+.2f} (top-5)"
            for crops, tops in difference.items()) + ".")
    return "\n".join([table, "", *notes]) + "\n"


def write(results: Results, out: Path) -> None:
    """``accuracy.json``, ``accuracy.md`` and ``accuracy.png`` in the folder."""
    whole = {"lines": lines(results), "apart": apart(results), "runs": list(results)}
    write_text(out / "accuracy.json", json.dumps(whole, indent=1) + "\n")
    write_text(out / "accuracy.md", text(results))
    picture(results, out / "accuracy.png")


def picture(results: Results, path: Path) -> None:
    """Training loss and validation top-1 by epoch, a line for each run."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for axes, quantity, scale, label in ((loss, "train_loss", 1, "training loss"),
                                         (accuracy, "val_top1", 100, "validation top-1, central crop [%]")):
        for side, colour in zip(SIDES, ("#1b6ca8", "#e6842a"), strict=True):
            for number, run in enumerate(_of(results, side)):
                axes.plot([line["epoch"] for line in run["epochs"]], [scale * line[quantity] for line in run["epochs"]],
                          color=colour, linewidth=1, marker=".", label=side if number == 0 else None)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    with temporary_beside(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _of(results: Results, side: str) -> list[dict[str, Any]]:
    return [r for r in results if r["settings"]["side"] == side]
