"""From the results of runs to a line for each network, and to what each idea changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tinyconv.safefile import write_text

from .. import markdown
from ..spread import percent, spread
from .networks import NETWORKS, Network

Results = Sequence[dict[str, Any]]
HEAD = ("network", "MACs", "parameters", "seeds", "top-1 error", "top-5 error", "training loss", "s/epoch")


def lines(results: Results) -> list[dict[str, Any]]:
    """For each network with results: what it costs, and over its seeds mean, least and most of the errors after the
    last epoch (shares of 1) and of the last epoch's mean training loss; the median seconds of an epoch of training."""
    table = []
    for network in NETWORKS:
        own = [r for r in results if r["network"] == network.name]
        if own:
            table.append({
                "network": network.name, "macs": own[0]["macs"], "parameters": own[0]["parameters"],
                "seeds": [r["seed"] for r in own],
                "top1_error": spread(map(_error("top1"), own)), "top5_error": spread(map(_error("top5"), own)),
                "train_loss": spread(r["epochs"][-1]["train_loss"] for r in own),
                # the median, since the first epoch decodes the photos and the very first compiles kernels
                "seconds_per_epoch": median(epoch["seconds"] for r in own for epoch in r["epochs"])})
    return table


def effects(results: Results) -> list[dict[str, Any]]:
    """How much the error falls (shares of 1; less than 0: it rises) by LRN, and by two towers instead of one.

    Networks of the same seed saw the same batches, so they are compared in pairs, and mean, least and most are over the
    pairs."""
    by_run = {(r["network"], r["seed"]): r for r in results}
    found = []
    for idea, without in (("LRN", {"norm": False}), ("two towers", {"towers": 1})):
        pairs = [(a, by_run[other, seed]) for (name, seed), a in by_run.items()
                 if (other := _counterpart(name, without)) and (other, seed) in by_run]
        if pairs:
            found.append({"idea": idea, "pairs": len(pairs)} | {
                f"{top}_gain": spread(_error(top)(b) - _error(top)(a) for a, b in pairs) for top in ("top1", "top5")})
    return found


def text(results: Results) -> str:
    """Markdown: the table, and a sentence for each idea."""
    table = markdown.table(HEAD, [_cells(line) for line in lines(results)])
    notes = [f"{e['idea']}: the error falls by {percent(e['top1_gain'])} points (top-1) and "
             f"{percent(e['top5_gain'])} points (top-5), mean (least to most) of {e['pairs']} pairs of runs of the "
             "same seed." for e in effects(results)]
    return "\n".join([table, "", "Errors in %, mean (least to most) over the seeds, on the validation photos after "
                      "the last epoch.", *notes]) + "\n"


def write(results: Results, out: Path) -> None:
    """``ablation.json`` and ``ablation.md`` in the folder."""
    whole = {"networks": lines(results), "effects": effects(results), "runs": list(results)}
    write_text(out / "ablation.json", json.dumps(whole, indent=1) + "\n")
    write_text(out / "ablation.md", text(results))


def _error(top: str) -> Callable[[dict[str, Any]], float]:
    return lambda result: 1 - result["epochs"][-1][f"val_{top}"]


def _counterpart(name: str, without: dict[str, Any]) -> str | None:
    """The network that lacks one idea and is otherwise like ``name``; None if that lacks it itself."""
    (network,) = (n for n in NETWORKS if n.name == name)
    towers, norm = without.get("towers", network.towers), without.get("norm", network.norm)
    other = Network(towers, norm, ()).name
    return None if other == name else other


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    loss = line["train_loss"]
    return (line["network"], f"{line['macs'] / 1e6:.2f} M", f"{line['parameters']:,}", str(len(line["seeds"])),
            percent(line["top1_error"]), percent(line["top5_error"]),
            f"{loss['mean']:.3f} ({loss['min']:.3f} to {loss['max']:.3f})", f"{line['seconds_per_epoch']:.1f}")
