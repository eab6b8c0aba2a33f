"""What a pack can be made from: folders of classes, or the official ILSVRC2012 files; a tar file of either."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from .errors import PackError
from .folders import ClassFolders
from .ilsvrc import ILSVRC2012
from .photos import Source
from .trees import TarTree

_KINDS = "a folder of class folders or of the ILSVRC2012 files, or a tar file of either"
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz"}


def open_source(path: Path) -> Source:
    """The official ILSVRC2012 files in `path`, or else its folders of classes. A folder, or a tar file.

    Raises PackError: `path` is missing, unreadable, empty, or of neither kind.
    """
    if not path.exists():
        raise PackError(f"{path} does not exist; pass {_KINDS}")
    try:
        if path.is_dir():
            return ILSVRC2012(path) if ILSVRC2012.recognises(path) else ClassFolders(path)
        _check_tar(path)
        return ILSVRC2012(path) if ILSVRC2012.recognises(path) else ClassFolders(TarTree(path))
    except OSError as error:
        raise PackError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def is_tar(path: Path) -> bool:
    """Whether `path` is a tar file, compressed or not. Reads its beginning."""
    return path.is_file() and tarfile.is_tarfile(path)


def _check_tar(path: Path) -> None:
    if not path.is_file():
        raise PackError(f"{path} is no regular file; pass {_KINDS}")
    with open(path, "rb") as file:
        command = _COMPRESSED.get(file.read(2))
    if not is_tar(path):
        raise PackError(f"{path} is a file, but no tar file; pass {_KINDS}")
    if command:
        raise PackError(f"{path} is compressed, and images in it cannot be reached one by one; "
                        f"decompress it first: {command} {path}")


def fingerprint(folder: Path, source: Source) -> str:
    """A digest of the names, sizes and times of the source's files: cheap, and enough to notice a change."""
    digest = hashlib.sha256()
    for path in source.inputs:
        status = path.lstat()
        line = f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(line.encode(errors="backslashreplace"))
    return digest.hexdigest()
