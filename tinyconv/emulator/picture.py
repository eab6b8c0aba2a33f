"""The picture of a traced launch: how a warp touches memory, and which part of the output the block computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..safefile import temporary_beside
from .limits import WARP
from .trace import BANKS, SECTOR, WORD, Line, Request, Trace

_PANELS = 6  # places in the source that are shown
_REQUESTS = 3  # of each place in global memory
_ROWS = 48  # sectors in one panel, at most, unless a single request has more
_GAP = 4  # lanes between two requests
_GOOD, _BAD, _UNTOUCHED = "#2e7d32", "#c62828", (0.91, 0.91, 0.91, 1.0)
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#17becf")  # of neighbouring sectors


def draw(trace: Trace, title: str, path: Path) -> None:
    """Write the picture as a PNG."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(16, 9), layout="constrained")
    figure.suptitle(title, fontsize=15, fontweight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=(2.4, 1))
    left.suptitle("what one warp asks of memory: a band is a sector of 32 bytes, a bar a lane that needs it",
                  fontsize=13)
    shown = _most_instructive(trace.lines)
    columns = 1 if len(shown) <= 2 else 2
    panels = np.atleast_1d(left.subplots(max(1, -(-len(shown) // columns)), columns)).ravel()
    for axes, line in zip(panels, shown, strict=False):
        _panel(axes, trace, line)
    for axes in panels[len(shown):]:
        axes.set_axis_off()
    outputs = _written(trace)
    right.suptitle("what the block writes" if outputs else "the block writes nothing", fontsize=13)
    for axes, (name, owner) in zip(np.atleast_1d(right.subplots(max(1, len(outputs)), 1)), outputs, strict=False):
        _tile(axes, name, owner)
    with temporary_beside(path) as part:
        figure.savefig(part, format="png", dpi=100)


def _most_instructive(lines: Sequence[Line]) -> list[Line]:
    """The places that cost most, at most half of them in shared memory, in the order of the source."""
    def costliest(space: str, count: int) -> list[Line]:
        return sorted((line for line in lines if line.place.space == space), key=lambda line: -line.cost)[:count]

    of_shared = costliest("shared", _PANELS // 2)
    chosen = costliest("global", _PANELS - len(of_shared)) + of_shared
    return [line for line in lines if line in chosen]


def _panel(axes: Any, trace: Trace, line: Line) -> None:
    place = line.place
    mine = [request for request in trace.requests if request.place == place]
    first = [request for request in mine if request.warp == mine[0].warp]
    text = trace.launch.module.source_line(place.file, place.line)
    name = f"{'writes' if place.write else 'reads'} {place.array or f'{place.space} memory'}"
    unit = "sector" if place.space == "global" else "wavefront"
    axes.set_title(f"{place} {name}: {_count(line.per_request, unit)} a request, ideal {line.ideal_per_request:.3g}\n"
                   f"{text[:66] + ' ...' if len(text) > 70 else text}", fontsize=10, loc="left",
                   color=_GOOD if line.cost == line.ideal else _BAD)
    if place.space == "global":
        _sectors(axes, trace, first)
    else:
        _banks(axes, first[0])


def _sectors(axes: Any, trace: Trace, requests: Sequence[Request]) -> None:
    """Lane against address, a band for each sector: the fuller its row of lanes, the better it is used."""
    count = next((n for n in range(_REQUESTS, 1, -1) if len({s for r in requests[:n] for s in r.sectors}) <= _ROWS), 1)
    requests = requests[:count]
    sectors = sorted({sector for request in requests for sector in request.sectors})
    rows = _rows(sectors)
    height = rows[sectors[-1]] + 1
    start = next((a.start for a in trace.launch.arguments if a.name == requests[0].place.array), 0)
    colours = {sector: _COLOURS[(sector - start // SECTOR) % len(_COLOURS)] for sector in sectors}
    for sector, row in rows.items():
        axes.axhspan(row, row + 1, color=colours[sector], alpha=0.12, linewidth=0)
    for i, request in enumerate(requests):
        x = i * (WARP + _GAP)
        for lane, address in request.lanes.items():
            for sector in {address // SECTOR, (address + request.nbytes - 1) // SECTOR}:
                axes.bar(x + lane + 0.5, 1, 1, rows[sector], color=colours[sector], edgecolor="white", linewidth=0.4)
        axes.text(x + WARP / 2, height * 1.02, _count(request.cost, "sector"), ha="center", va="bottom",
                  fontsize=9, color=_GOOD if request.cost == request.ideal else _BAD)
    axes.set_ylim(0, height * 1.14)
    axes.set_xlim(-0.5, len(requests) * (WARP + _GAP) - _GAP + 0.5)
    labelled = sectors[::-(-len(sectors) // 10)]
    axes.set_yticks([rows[s] for s in labelled], [f"{s * SECTOR - start:,}" for s in labelled], fontsize=8)
    axes.set_xticks([i * (WARP + _GAP) + lane + 0.5 for i in range(len(requests)) for lane in (0, 8, 16, 24, 31)],
                    [0, 8, 16, 24, 31] * len(requests), fontsize=8)
    axes.set_xlabel("lane" if len(requests) == 1 else f"lane, in the first {len(requests)} requests", fontsize=9)
    axes.set_ylabel("bytes from the start", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _count(number: float, unit: str) -> str:
    return f"{number:.3g} {unit}{'' if number == 1 else 's'}"


def _rows(sectors: Sequence[int]) -> dict[int, float]:
    """Where each sector is drawn: one above the other, with half a row between them where memory is left out."""
    rows, at = {}, -1.0
    for before, sector in zip([sectors[0] - 1, *sectors], sectors, strict=False):
        at += 1.0 if sector == before + 1 else 1.5
        rows[sector] = at
    return rows


def _banks(axes: Any, request: Request) -> None:
    """Banks against rows of 32 words.  In each word the first lane that asks for it, and how many more do; two words in
    a column, asked for at the same time, are a conflict."""
    lanes_of: dict[int, list[int]] = {}
    for lane in request.lanes:
        for word in request.words([lane]):
            lanes_of.setdefault(word, []).append(lane)
    rows = {row: i for i, row in enumerate(sorted({word // BANKS for word in lanes_of}))}
    image = np.full((max(6, len(rows)), BANKS), np.nan)
    for word, lanes in lanes_of.items():
        row, bank = rows[word // BANKS], word % BANKS
        image[row, bank] = lanes[0]
        if len(rows) <= 16:
            text = f"{lanes[0]}" + (f"\n+{len(lanes) - 1}" if len(lanes) > 1 else "")
            axes.text(bank, row, text, ha="center", va="center", fontsize=7,
                      color="white" if lanes[0] < 20 else "black")
    axes.imshow(image, aspect="auto", cmap="viridis", vmin=0, vmax=WARP - 1, interpolation="nearest")
    axes.set_xticks(np.arange(-0.5, BANKS), minor=True)
    axes.set_yticks(np.arange(-0.5, len(image)), minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.8)
    axes.tick_params(which="both", length=0, labelsize=8)
    axes.set_xticks([*range(0, BANKS, 4), BANKS - 1])
    step = -(-len(rows) // 8)
    axes.set_yticks(range(0, len(rows), step), [f"{row * BANKS * WORD:,}" for row in list(rows)[::step]])
    axes.set_xlabel("bank (in the cells: lanes)", fontsize=9)
    axes.set_ylabel("bytes from the start", fontsize=9)


def _written(trace: Trace) -> list[tuple[str, np.ndarray]]:
    """For the largest two arrays that the block writes: which thread wrote each element, -1 where none did."""
    found = []
    for argument in trace.launch.arguments:
        writes = [r for r in trace.requests if r.place.write and r.place.array == argument.name]
        if not writes:
            continue
        itemsize = writes[0].nbytes if argument.array is None else argument.array.itemsize
        shape = (argument.nbytes // itemsize,) if argument.array is None else argument.array.shape
        owner = np.full(math.prod(shape), -1)
        for request in writes:
            for lane, address in request.lanes.items():
                first = (address - argument.start) // itemsize
                owner[first:first + max(1, request.nbytes // itemsize)] = request.warp * WARP + lane
        found.append((argument.name, owner.reshape(shape)))
    return sorted(found, key=lambda pair: -pair[1].size)[:2]


def _tile(axes: Any, name: str, owner: np.ndarray) -> None:
    """The whole array; coloured where this block wrote, by the number of the thread."""
    from matplotlib import colormaps

    last = int(owner.max())
    colours = colormaps["plasma"](np.clip(owner, 0, None) / max(1, last) * 0.9)
    colours[owner < 0] = _UNTOUCHED
    image, arrangement = _lay_out(colours)
    tall = max(image.shape[:2]) > 4 * min(image.shape[:2])
    axes.imshow(image, interpolation="nearest", aspect="auto" if tall else "equal")
    axes.set_title(f"{name} {owner.shape}: {(owner >= 0).sum():,} of {owner.size:,} elements\n{arrangement}; "
                   f"thread 0 dark, thread {last} light", fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _lay_out(colours: np.ndarray) -> tuple[np.ndarray, str]:
    """An array of colours as a picture, and how to read that: a matrix as it is; planes side by side; else in rows."""
    *shape, channels = colours.shape
    size = math.prod(shape)
    if len(shape) < 2:
        width = min(size, max(WARP, round(math.sqrt(size)) // WARP * WARP))
        padded = np.ones((-(-size // width) * width, channels))
        padded[:size] = colours.reshape(-1, channels)
        return padded.reshape(-1, width, channels), f"in rows of {width}"
    planes = colours.reshape(-1, *shape[-2:], channels)
    count, height, width, _ = planes.shape
    if count == 1:
        return planes[0], "as a matrix"
    columns = math.ceil(math.sqrt(count * height / width))
    canvas = np.ones((-(-count // columns) * (height + 1) - 1, columns * (width + 1) - 1, channels))
    for i, plane in enumerate(planes):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        canvas[y:y + height, x:x + width] = plane
    return canvas, f"planes of {height} x {width}, {columns} in a row"
