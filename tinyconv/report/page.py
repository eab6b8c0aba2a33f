"""The page: everything in one file, without a script, a link to elsewhere or a font of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ..training.pictures import draw_filters
from .charts import charts, picture
from .mistakes import Mistakes, WorstClass
from .run import Run

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .25em .8em; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #ddd; } td { border-bottom: 1px solid #eee; } td.number { text-align: right; }
figure { display: inline-block; margin: .5em; vertical-align: top; } figcaption { font-size: 12px; color: #555; }
.charts img { width: 560px; max-width: 100%; } .filters img { max-width: 100%; }
.photos figure { width: 100px; margin: .2em; } .photos img { max-width: 96px; }
pre { background: #f6f6f6; padding: .6em; white-space: pre-wrap; overflow-wrap: anywhere; } .note { color: #666; }
"""


def page(run: Run, mistakes: Any) -> str:
    """The HTML of a run.  mistakes: :class:`Mistakes`, or a text that says why there are none."""
    title = f"Training run {run.folder.resolve().name}"
    parts = [f"<h1>{escape(title)}</h1>", _overview(run), "<h2>Curves</h2>", _curves(run), "<h2>Epochs</h2>",
             _epochs(run), "<h2>What conv1 has learnt</h2>", _filters(run), "<h2>What it takes for what</h2>",
             _mistakes(mistakes), "<h2>Environment</h2>", _environment(run)]
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers to the right, texts to the left; what is :class:`_Raw` is HTML already."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ["<table>", f"<tr>{cells}</tr>"] if any(head) else ["<table>"]
    for row in rows:
        lines.append("<tr>" + "".join(_cell(value) for value in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


class _Raw(str):
    """HTML."""


class _Number(str):
    """A number, written out."""


def _number(value: float | None, digits: int) -> _Number:
    """With so many digits after the point, as all numbers of a column have; nothing for None."""
    return _Number("" if value is None else f"{value:,.{digits}f}")


def _cell(value: Any) -> str:
    if isinstance(value, _Raw):
        return f"<td>{value}</td>"
    if isinstance(value, int):
        value = _number(value, 0)
    if isinstance(value, _Number):
        return f'<td class="number">{value}</td>'
    return f"<td>{escape(str(value))}</td>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _overview(run: Run) -> str:
    rows: list[Sequence[Any]] = []
    if run.epochs:
        best = max(run.epochs, key=lambda line: line.get("val_top1", 0))
        seconds = sum(line.get("seconds", 0) for line in run.epochs)
        images = sum(line.get("train_images", 0) for line in run.epochs)
        rows += [("Epochs", len(run.epochs)),
                 ("Best validation top-1", f"{_accuracy(best)}, after epoch {best['epoch']}"),
                 ("Last", _accuracy(run.epochs[-1])), ("Training time", _duration(seconds)),
                 ("Throughput", f"{images / max(seconds, 1e-9):,.0f} images/s on average")]
    if run.steps:
        rows.append(("Steps in the log", f"{len(run.steps):,} lines up to step {run.steps[-1]['step']:,}"))
        rss = [line["rss_mib"] for line in run.steps if "rss_mib" in line]
        if rss:
            rows.append(("Memory", f"{rss[0]:,.0f} MiB at the first line, {rss[len(rss) // 2]:,.0f} in the middle, "
                                   f"{rss[-1]:,.0f} at the last"))
    if provenance := run.record["data"].get("provenance"):
        counts = run.record["data"].get("images", {})
        rows.append(("Images", ", ".join([str(provenance), *(f"{n:,} {name}" for name, n in counts.items())])))
    return table((), rows) if rows else _note("There is nothing in the log yet.")


def _accuracy(line: dict[str, Any]) -> str:
    return (f"{100 * line['val_top1']:.2f} % (top-5 {100 * line['val_top5']:.2f} %, loss {line['val_loss']:.4f})")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _curves(run: Run) -> str:
    figures = [f'<figure><img alt="{escape(title)}" src="{picture(figure)}"><figcaption>{escape(title)}</figcaption>'
               "</figure>" for title, figure in charts(run).items()]
    missing = "" if run.steps else _note("There is no steps.jsonl: the curves are those of the epochs.")
    return f'<div class="charts">{"".join(figures)}</div>{missing}'


def _epochs(run: Run) -> str:
    head = ("epoch", "loss", "top-1 %", "validation loss", "top-1 %", "top-5 %", "learning rate", "images/s",
            "waiting %", "RSS MiB")
    rows = [(line["epoch"], _number(line["train_loss"], 4), _number(100 * line["train_top1"], 2),
             _number(line["val_loss"], 4), _number(100 * line["val_top1"], 2), _number(100 * line["val_top5"], 2),
             f"{line['lr']:.4g}", _number(line.get("images_per_second"), 1), _percent(line.get("data_wait")),
             _number(line.get("rss_mib", line.get("peak_rss_mib")), 1)) for line in run.epochs]
    return table(head, rows) if rows else _note("No epoch is finished yet.")


def _percent(share: float | None) -> str:
    return _number(None if share is None else 100 * share, 1)


def _filters(run: Run) -> str:
    towers = run.first_filters
    if not towers:
        return _note("There is no whole checkpoint, or the network has no convolution of three channels.")
    return f'<div class="filters"><img alt="filters of conv1" src="{picture(draw_filters(towers))}"></div>'


def _mistakes(mistakes: Any) -> str:
    if not isinstance(mistakes, Mistakes):
        return _note(f"Not shown: {mistakes}.")
    tally = mistakes.tally
    told = (f"{mistakes.checkpoint} on {mistakes.images:,} of {mistakes.available:,} validation images (central crop): "
            f"top-1 {100 * tally.top1:.2f} %, top-5 {100 * tally.top5:.2f} %.")
    pairs = [(mistakes.classes[p.truth], mistakes.classes[p.guess], p.count, p.images) for p in mistakes.pairs]
    if not pairs:
        return _note(told + " It makes no mistake on them.")
    worst = [(w.name, f"{w.right:,} of {w.images:,}", _Raw("<br>".join(f"{escape(n)} ({c:,})" for n, c in w.taken_for)),
              _Raw(_photos(w))) for w in mistakes.worst]
    return "\n".join([_note(told), "<h3>The worst classes, and the photos that it is surest to know otherwise</h3>",
                      table(("class", "right", "taken for", "photos"), worst), "<h3>Most often taken for another</h3>",
                      table(("class", "taken for", "times", "of"), pairs)])


def _photos(worst: WorstClass) -> str:
    figures = [f'<figure><img alt="{escape(worst.name)}" src="{e.picture}"><figcaption>{escape(e.guess)}, '
               f"{100 * e.probability:.0f} %</figcaption></figure>" for e in worst.examples]
    return f'<div class="photos">{"".join(figures)}</div>'


def _environment(run: Run) -> str:
    sessions = run.record["sessions"]
    if not sessions:
        return _note("There is no run.json: it was made by an older version.")
    last = sessions[-1]
    rows = [(name, text) for name, text in last.get("environment", {}).items()]
    options = " ".join(f"{name}={value}" for name, value in last.get("options", {}).items())
    begun = [(s.get("began", ""), s.get("step", ""), s.get("command", "")) for s in sessions]
    return "\n".join([table((), rows), "<h3>Options</h3>", f"<pre>{escape(options)}</pre>", "<h3>Sessions</h3>",
                      table(("began", "after step", "command"), begun)])
