"""What a pack can be made from. A source streams encoded images; nobody holds more than one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import PackError


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


def open_source(folder: Path) -> Source:
    """The official ILSVRC2012 files in `folder`, or else its folders of classes.

    Raises PackError: `folder` is missing, unreadable, empty, or of neither kind.
    """
    from .folders import ClassFolders
    from .ilsvrc import ILSVRC2012

    if not folder.exists():
        raise PackError(f"{folder} does not exist; pass a folder of class folders or of the ILSVRC2012 files")
    if not folder.is_dir():
        raise PackError(f"{folder} is a file; pass a folder of class folders or of the ILSVRC2012 files")
    try:
        return ILSVRC2012(folder) if ILSVRC2012.recognises(folder) else ClassFolders(folder)
    except OSError as error:
        raise PackError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error


def fingerprint(folder: Path, source: Source) -> str:
    """A digest of the names, sizes and times of the source's files: cheap, and enough to notice a change."""
    digest = hashlib.sha256()
    for path in source.inputs:
        status = path.lstat()
        line = f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(line.encode(errors="backslashreplace"))
    return digest.hexdigest()
