"""A timeline as a picture: a lane for each device, launches coloured by kernel, copies as arrows, idle time hatched.

Under each lane a band tells forward, backward and the rest apart.  What is narrower than a pixel is drawn together with
its neighbours (``timeline_merge.py``), in the colour of what took most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .safefile import temporary_beside
from .timeline import Span, Timeline, by_folder, covered, percent, size
from .timeline_merge import Arrow, Block, arrows, blocks, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, PITCH, AROUND = 12.8, 1.7, 1.5  # inches: from lane to lane, and above and below all of them
DPI = 125  # so it is 1600 pixels wide
PLOT = 1400  # pixels between the left and the right end of a lane, about
TOP, BOTTOM = -0.26, 0.20  # of a lane, around its number, in pitches; down is positive
BAND = 0.22, 0.34  # of the band under it, likewise
FIRST, LAST = -0.34, 0.42  # what is shown above the first lane's number and below the last one's
SPACE = LAST - FIRST - 1
CHARACTER, LINE = 7.6, 16  # pixels that a letter of a label needs
MANY = 60  # arrows: more are drawn thin

# The muted scheme of Paul Tol (2021), which people with any colour blindness can tell apart; greys for the rest.
COLOURS = {
    "conv": "#332288", "linear": "#CC6677", "lrn": "#44AA99", "pool": "#DDCC77", "relu": "#88CCEE",
    "lrn_max_pool": "#999933", "dropout": "#AA4499", "update": "#117733", "softmax_cross_entropy": "#882255",
    "elementwise": "#9a9a9a", "reduce": "#6e6e6e", "copy": "#111111", "upload": "#444444",
}
OTHER = "#c4c4c4"
PHASES = {"forward": "#d3dfea", "backward": "#54708c", "": "#f3e6c8"}  # differ in brightness, too
IDLE: dict[str, Any] = {"facecolor": "#f4f4f4", "edgecolor": "#cfcfcf", "hatch": "////", "linewidth": 0}
DOWN, UP = "#222222", "#c4501b"  # arrows; a copy and the one that crosses it are told apart
INK = "#222222"


def write(timeline: Timeline, path: Path) -> None:
    """A PNG, PDF or SVG, as the ending says.  Raises OSError, see :func:`tinyconv.safefile.temporary_beside`."""
    figure = draw(timeline)
    with temporary_beside(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=path.suffix[1:].lower())


def draw(timeline: Timeline) -> Figure:
    from matplotlib.figure import Figure  # not pyplot: no window, no state, whatever the backend

    devices = timeline.devices()
    figure = Figure(figsize=(WIDTH, AROUND + PITCH * (max(1, len(devices)) + SPACE)), layout="constrained")
    axes = figure.subplots()
    if not devices:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was recorded", fontsize=13, ha="center", transform=axes.transAxes)
        return figure
    first, last = timeline.extent()
    scale = _Scale(first, (last - first or 1e-6) / PLOT)
    for lane, device in enumerate(devices):
        spans = sorted((s for s in timeline.spans if s.device == device), key=attrgetter("begin"))
        _idle(axes, lane, spans, (first, last), scale)
        _launches(axes, lane, blocks(spans, scale.pixel), scale)
        _phases(axes, lane, spans, scale)
    _arrows(axes, arrows(timeline.spans, 6 * scale.pixel), devices, scale)
    _frame(axes, timeline, scale)
    _legends(figure, axes, timeline)
    return figure


@dataclass(frozen=True)
class _Scale:
    """From seconds to what the picture shows: milliseconds since the first launch."""

    first: float
    pixel: float  # seconds

    def __call__(self, seconds: float) -> float:
        return 1e3 * (seconds - self.first)

    def bar(self, begin: float, end: float) -> tuple[float, float]:
        """Left end and width."""
        return self(begin), 1e3 * (end - begin)

    def width(self, pixels: float) -> float:
        return 1e3 * self.pixel * pixels


def _idle(axes: Axes, lane: int, spans: Sequence[Span], extent: tuple[float, float], scale: _Scale) -> None:
    """Hatch what lies between the busy stretches, and before and after them, where it can be seen."""
    ends = [extent[0], *(t for stretch in covered(spans) for t in stretch), extent[1]]
    gaps = [scale.bar(begin, end) for begin, end in zip(ends[::2], ends[1::2], strict=True)
            if end - begin >= scale.pixel]
    axes.broken_barh(gaps, (lane + TOP, BOTTOM - TOP), gid=f"idle {lane}", zorder=1, **IDLE)


def _launches(axes: Axes, lane: int, shown: Sequence[Block], scale: _Scale) -> None:
    """One collection for each folder, quick to draw even if there are thousands; and names where they fit."""
    for folder, same in groupby(sorted(shown, key=attrgetter("folder")), key=attrgetter("folder")):
        bars = list(same)
        edges = [0.7 if block.end - block.begin > 4 * scale.pixel else 0 for block in bars]
        axes.broken_barh([scale.bar(b.begin, b.end) for b in bars], (lane + TOP, BOTTOM - TOP), zorder=2,
                         facecolor=COLOURS.get(folder, OTHER), edgecolor="white", linewidths=edges,
                         gid=f"{folder} {lane}")
    for block in shown:
        text, rotation = _fitting(block.name, (block.end - block.begin) / scale.pixel)
        if text:
            axes.text(scale((block.begin + block.end) / 2), lane + (TOP + BOTTOM) / 2, text, fontsize=8, zorder=3,
                      ha="center", va="center", rotation=rotation, color=_ink_on(COLOURS.get(block.folder, OTHER)))


def _fitting(name: str, pixels: float) -> tuple[str, int]:
    """As much of a name as fits into a rectangle, and its rotation in degrees: narrow ones are read from below."""
    folder, _, function = name.partition(".")
    for text in (name, f"{folder}\n{function}", f"{folder}\n{function}".replace("_", "\n"), folder):
        lines = text.split("\n")
        if max(map(len, lines)) * CHARACTER + 8 <= pixels and len(lines) <= 4:
            return text, 0
    upright = pixels >= LINE and len(folder) * CHARACTER <= (BOTTOM - TOP) * PITCH * DPI
    return (folder, 90) if upright else ("", 0)


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else INK


def _phases(axes: Axes, lane: int, spans: Sequence[Span], scale: _Scale) -> None:
    """The band: from the first to the last launch of each run of one phase."""
    stretches = list(runs(spans))
    for phase, colour in PHASES.items():
        bars = [scale.bar(begin, end) for of, begin, end in stretches if of == phase]
        axes.broken_barh(bars, (lane + BAND[0], BAND[1] - BAND[0]), zorder=2, linewidth=0, facecolor=colour,
                         gid=f"phase {phase or 'neither'} {lane}")
    for phase, begin, end in stretches:
        if phase and (end - begin) / scale.pixel > CHARACTER * len(phase) + 8:
            axes.text(scale((begin + end) / 2), lane + sum(BAND) / 2, phase, fontsize=8, zorder=3, ha="center",
                      va="center_baseline", color=_ink_on(PHASES[phase]))


def _arrows(axes: Axes, shown: Sequence[Arrow], devices: Sequence[str], scale: _Scale) -> None:
    """From where a copy's source was ready to where the copy began; how long it took is in the lane of its target."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.patheffects import withStroke

    line, point = (1.4, 11) if len(shown) <= MANY else (0.7, 7)
    taken: list[tuple[float, float, float]] = []
    for arrow in sorted(shown, key=lambda arrow: -arrow.nbytes):
        source, target = devices.index(arrow.source), devices.index(arrow.target)
        down = source < target
        tail = scale(arrow.sent), source + (BAND[1] if down else TOP)
        head = scale(arrow.begin), target + (TOP if down else BAND[1])
        axes.add_patch(FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=point, shrinkA=0, shrinkB=0,
                                       linewidth=line, color=DOWN if down else UP, gid=f"copy {source} {target}",
                                       zorder=5, path_effects=[withStroke(linewidth=line + 1, foreground="white")]))
        _bytes(axes, arrow, tail, head, taken, scale)


def _bytes(axes: Axes, arrow: Arrow, tail: tuple[float, float], head: tuple[float, float],
           taken: list[tuple[float, float, float]], scale: _Scale) -> None:
    """How much an arrow carries, near its tail, unless another label is there; the largest come first."""
    text = size(arrow.nbytes) if arrow.copies == 1 else f"{arrow.copies} × {size(arrow.nbytes / arrow.copies)}"
    near = 0.13 / abs(head[1] - tail[1])  # so far along the arrow
    x, y = tail[0] + near * (head[0] - tail[0]), tail[1] + near * (head[1] - tail[1])
    half = scale.width(CHARACTER * len(text) / 2 + 4)
    if any(abs(x - other) < half + reach and abs(y - row) < 0.12 for other, row, reach in taken):
        return
    taken.append((x, y, half))
    axes.text(x, y, text, fontsize=8, color=DOWN if tail[1] < head[1] else UP, ha="center", va="center", zorder=6,
              gid="bytes", bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"})


def _frame(axes: Axes, timeline: Timeline, scale: _Scale) -> None:
    """Title, axes, and what is written left of each lane."""
    first, last = timeline.extent()
    devices, whole = timeline.devices(), last - first
    busy, idle = timeline.busy(), timeline.idle()
    total = f"{1e3 * whole:,.0f} ms" if whole >= 0.1 else f"{1e3 * whole:.3g} ms"
    axes.set_title(f"{total}: {', '.join(f'{d} busy {percent(busy[d], whole, 0)}' for d in devices)}",
                   loc="left", fontsize=14, fontweight="bold", color=INK)
    axes.set_yticks(range(len(devices)), [f"{d}\nidle {percent(idle[d], whole, 0)}" for d in devices], fontsize=12)
    axes.set_ylim(len(devices) - 1 + LAST, FIRST)
    axes.set_xlim(-scale.width(4), scale.width(PLOT + 4))
    axes.set_xlabel("ms since the first launch", fontsize=11, loc="left")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _legends(figure: Figure, axes: Axes, timeline: Timeline) -> None:
    """Only what occurs.  Right of the axis' name what marks and arrows mean; below, kernels by the time they took."""
    from matplotlib.patches import Patch
    from matplotlib.transforms import ScaledTranslation

    seconds = by_folder(timeline.spans)
    kernels = [Patch(facecolor=COLOURS.get(folder, OTHER), label=f"{folder} {percent(share, sum(seconds.values()))}")
               for folder, share in seconds.items()]
    phases = {s.phase for s in timeline.spans}
    marks = [Patch(facecolor=colour, label=phase or "neither") for phase, colour in PHASES.items() if phase in phases]
    marks += [Patch(label="idle", **IDLE), *_copies(timeline)]
    below = axes.transAxes + ScaledTranslation(0, -0.24, figure.dpi_scale_trans)  # the numbers of the axis lie between
    axes.legend(handles=marks, loc="upper right", bbox_to_anchor=(1.005, 0), bbox_transform=below, frameon=False,
                fontsize=10, ncols=len(marks), columnspacing=1.3, handlelength=1.4)
    figure.legend(handles=kernels, loc="outside lower center", frameon=False, fontsize=11, handlelength=1.4,
                  columnspacing=1.3, ncols=-(-len(kernels) // -(-len(kernels) // 7)))  # rows of up to 7, equally long


def _copies(timeline: Timeline) -> Iterable[Any]:
    """What was copied down and up the picture, in all."""
    from matplotlib.lines import Line2D

    order = timeline.devices().index
    exchanged = timeline.exchanged().items()
    for colour, marker, total in (
            (DOWN, "$\\downarrow$", sum(n for (a, b), n in exchanged if order(a) < order(b))),
            (UP, "$\\uparrow$", sum(n for (a, b), n in exchanged if order(a) > order(b)))):
        if total:
            yield Line2D([], [], color=colour, marker=marker, linestyle="", markersize=10,
                         label=f"copies, {size(total)}")
