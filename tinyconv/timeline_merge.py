"""Thousands of launches in a picture of 1600 pixels: what is too narrow to be told apart is put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from .timeline import Span, by_folder


@dataclass
class Block:
    """What is drawn as one rectangle: a launch, or several."""

    begin: float
    end: float
    spans: list[Span] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Of the kernels that took most of the time."""
        return next(iter(by_folder(self.spans)))

    @property
    def name(self) -> str:
        """Of the kernel, or of the folder of several; empty if they are of several folders."""
        if len(self.spans) == 1:
            return self.spans[0].name
        return self.folder if len({s.folder for s in self.spans}) == 1 else ""

    def joins(self, s: Span, pixel: float) -> bool:
        if s.begin - self.end >= pixel:
            return False
        narrow = self.end - self.begin < 2 * pixel or s.end - s.begin < 2 * pixel
        return narrow and self.spans[-1].folder == s.folder or s.end - self.begin < pixel


def blocks(spans: Iterable[Span], pixel: float) -> list[Block]:
    """Spans of one device, by their begin, put together where they are narrower than a pixel (in seconds).

    Of one folder those that touch, if one of them is narrow; of several as many as fit into a pixel.  So two blocks in
    a row, without what overlaps, are at least a pixel wide."""
    found: list[Block] = []
    for s in spans:
        if not found or not found[-1].joins(s, pixel):
            found.append(Block(s.begin, s.end))
        found[-1].end = max(found[-1].end, s.end)
        found[-1].spans.append(s)
    return found


def runs(spans: Sequence[Span]) -> Iterator[tuple[str, float, float]]:
    """(phase, begin, end) of successive spans of the same phase."""
    for phase, same in groupby(spans, key=attrgetter("phase")):
        run = list(same)
        yield phase, run[0].begin, max(s.end for s in run)


@dataclass
class Arrow:
    """Copies from one device to another that begin and end too near to each other to be drawn apart."""

    source: str
    target: str
    sent: float
    begin: float
    nbytes: int
    copies: int = 1


def arrows(spans: Iterable[Span], near: float) -> list[Arrow]:
    """Of all copies between devices; those that are ``near`` (seconds) an earlier one at both ends join it."""
    found: list[Arrow] = []
    recent: dict[tuple[str, str], list[Arrow]] = {}
    for s in sorted((s for s in spans if s.source), key=attrgetter("begin")):
        sent, way = s.sent or s.begin, (s.source, s.device)
        recent[way] = [arrow for arrow in recent.get(way, []) if s.begin - arrow.begin < near]
        for arrow in recent[way]:
            if abs(sent - arrow.sent) < near:
                arrow.nbytes, arrow.copies = arrow.nbytes + s.nbytes, arrow.copies + 1
                break
        else:
            found.append(Arrow(s.source, s.device, sent, s.begin, s.nbytes))
            recent[way].append(found[-1])
    return found
