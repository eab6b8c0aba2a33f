"""What a source of images gives: where photos lie, or files that are none and why. Nobody holds many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_FILE = 256 << 20  # bytes; no photo is larger, and a file is read as a whole


@dataclass(frozen=True)
class Place:
    """Bytes of a file: `size` of them from `offset`, or all (size None)."""

    path: Path
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """The bytes. Raises OSError: the file cannot be read or ends before them."""
        if self.size is None:
            return self.path.read_bytes()
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise OSError(None, "the file ends before it")
        return data


@dataclass(frozen=True)
class Entry:
    """One image of a source that has not been read yet: its split, its class, its name and where it lies."""

    split: str
    label: int
    file: str
    place: Place


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

    @property
    def inputs(self) -> Iterable[Path]:
        """The files read."""
        ...

    def entries(self) -> Iterator[Entry | Skipped]:
        """Everything in the source, always in the same order."""
        ...


def photos(source: Source) -> Iterator[Photo | Skipped]:
    """Everything in the source, one read after the other."""
    for entry in source.entries():
        yield entry if isinstance(entry, Skipped) else load(entry)


def load(entry: Entry) -> Photo | Skipped:
    """Read an image's file. What cannot be read is skipped, with the reason."""
    place = entry.place
    if place.size is None and not place.path.is_file():  # a pipe would block for ever
        return Skipped(entry.file, "not a regular file" if place.path.exists() else "a link to nothing")
    try:
        size = place.path.stat().st_size if place.size is None else place.size
        if size > MAX_FILE:
            return Skipped(entry.file, f"{size:,} bytes are more than the limit of {MAX_FILE:,} for an image file")
        return Photo(entry.split, entry.label, entry.file, place.read())
    except OSError as error:
        return Skipped(entry.file, f"cannot be read: {error.strerror or error}")
