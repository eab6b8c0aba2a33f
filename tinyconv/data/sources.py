"""What a pack can be made from: folders of classes, or the official ILSVRC2012 files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import PackError
from .folders import ClassFolders
from .ilsvrc import ILSVRC2012
from .photos import Source


def open_source(folder: Path) -> Source:
    """The official ILSVRC2012 files in `folder`, or else its folders of classes.

    Raises PackError: `folder` is missing, unreadable, empty, or of neither kind.
    """
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
