"""What a source of images gives: photos, or files that are none and why. Nobody holds more than one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Photo:
    """One image of a source: its split, its class, its name there and its file's bytes."""

    split: str
    label: int
    file: str
    data: bytes


@dataclass(frozen=True)
class Skipped:
    """A file of a source that is not packed, and why."""

    file: str
    reason: str


class Source(Protocol):
    """A labelled set of image files."""

    classes: list[str]
    wnids: list[str]  # [] without WordNet identifiers
    provenance: str
    licence: str
    total: int  # images to expect, for progress
    inputs: list[Path]  # the files read

    def photos(self) -> Iterator[Photo | Skipped]:
        """Everything in the source, always in the same order."""
        ...
