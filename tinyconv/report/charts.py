"""The curves of a run, as pictures inside the page."""

from __future__ import annotations

import base64
import gc
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .run import Run

Points = tuple[list[float], list[float]]


def data_uri(content: bytes, kind: str) -> str:
    """``content`` as a URI that holds it; kind: png, jpeg ..."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def picture(figure: Any) -> str:
    """A figure as a ``data:`` URI, a PNG."""
    file = io.BytesIO()
    figure.savefig(file, dpi=100, format="png")
    figure.clear()
    gc.collect()  # figures are full of cycles
    return data_uri(file.getvalue(), "png")


def charts(run: Run) -> dict[str, Any]:
    """Title -> figure, of all that there is something to draw of."""
    steps, epochs = run.steps, run.epochs
    drawn = {
        "Loss": _chart("cross-entropy", _both("loss", run, 1)),
        "Accuracy": _chart("%", _both("top1", run, 100) + _both("top5", run, 100)),
        "Learning rate": _chart("", [("", points(steps, "lr"), "-")], log=True),
        "Throughput": _chart("images/s", [("", points(steps, "images_per_second"), "-"),
                                          ("epochs", points(epochs, "images_per_second"), "o")], zero=True),
        "Waiting for data": _chart("% of the time", [("", points(steps, "data_wait", 100), "-"),
                                                     ("epochs", points(epochs, "data_wait", 100), "o")], zero=True),
        "Memory": _chart("resident, MiB", _memory(steps), zero=True),
        "Update / weights": _chart("|update| / |weights|", _ratios(steps), log=True, height=4.6),
    }
    return {title: figure for title, figure in drawn.items() if figure is not None}


def points(lines: Iterable[dict[str, Any]], name: str, factor: float = 1) -> Points:
    """Steps and values of the lines that have ``name``; an old log has no steps, but counts epochs."""
    found = [(line.get("step", line["epoch"]), factor * line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def _both(quantity: str, run: Run, factor: float) -> list[tuple[str, Points, str]]:
    name = {"loss": "", "top1": " top-1", "top5": " top-5"}[quantity]
    dashes = "--" if quantity == "top5" else "-"
    curves = [(f"training{name}, steps", points(run.steps, quantity, factor), ":")] if quantity != "top5" else []
    return [*curves, (f"training{name}, mean", points(run.epochs, f"train_{quantity}", factor), "o" + dashes),
            (f"validation{name}", points(run.epochs, f"val_{quantity}", factor), "o" + dashes)]


def _memory(steps: Sequence[dict[str, Any]]) -> list[tuple[str, Points, str]]:
    """Its own memory, which must stay flat, apart from images that the loader keeps, which is shared with workers."""
    own = [{**line, "own": line["rss_mib"] - line["shared_mib"]} for line in steps if "shared_mib" in line]
    curves = [("training", points(steps, "rss_mib"), "-"), ("without shared memory", points(own, "own"), "--"),
              ("workers together", points(steps, "workers_rss_mib"), "-")]
    return [curve for curve in curves if any(curve[1][1])]


def _ratios(steps: Sequence[dict[str, Any]]) -> list[tuple[str, Points, str]]:
    layers = list(dict.fromkeys(name for line in steps for name in line.get("update_ratio", {})))
    return [(layer, points([{"step": line["step"], "epoch": line["epoch"], "ratio": line["update_ratio"].get(layer)}
                            for line in steps if "update_ratio" in line], "ratio"), "-") for layer in layers]


def _chart(unit: str, curves: Sequence[tuple[str, Points, str]], log: bool = False, zero: bool = False,
           height: float = 3.2) -> Any:
    """A figure with (label, points, style) curves, or None if there is no point at all."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    curves = [curve for curve in curves if curve[1][0]]
    if not curves:
        return None
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["tab10" if len(curves) <= 10 else "tab20"]
    for number, (label, (x, y), style) in enumerate(curves):
        axes.plot(x, y, style, color=colours(number % colours.N), label=label, markersize=4, linewidth=1.2)
    if log and all(value > 0 for _, (_, y), _ in curves for value in y):
        axes.set_yscale("log")
    if zero:
        axes.set_ylim(0, 1.1 * max(np.max(y) for _, (_, y), _ in curves) or 1)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    if any(label for label, _, _ in curves):
        many = len(curves) > 4
        axes.legend(fontsize=7 if many else 8, **({"loc": "center left", "bbox_to_anchor": (1, 0.5)} if many else {}))
    return figure
