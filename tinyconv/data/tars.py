"""Tar files read in place: nothing is unpacked, members become places in the file."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .errors import PackError
from .photos import MAX_FILE, Place


@contextmanager
def open_tar(place: Place, title: str | Path = "") -> Iterator[tarfile.TarFile]:
    """Open the uncompressed tar file at `place`. What is wrong with it becomes a PackError that names `title`."""
    with _explained(title or place.path), _Part(place) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        yield tar


@contextmanager
def open_gzipped_tar(place: Place, title: str | Path = "") -> Iterator[tarfile.TarFile]:
    """The same for a small .tar.gz, which is read as a whole."""
    with (_explained(title or place.path), io.BytesIO(place.read()) as stream,
          tarfile.open(fileobj=stream, mode="r:gz") as tar):
        yield tar


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one after the other; unlike iteration over the tar file, it forgets those that have passed."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or a million of them, 1 kB each, would stay in memory
        yield member


def place_of(member: tarfile.TarInfo, tar: Place) -> Place:
    """Where the content of a member lies, `tar` being the place of the tar file itself."""
    return Place(tar.path, tar.offset + member.offset_data, member.size)


def unsafe(member: tarfile.TarInfo) -> str:
    """Why a member is not taken, or "". Nothing is unpacked, but an honest archive has no such names."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return "its path leads out of the archive"
    return "" if member.isfile() and not member.issparse() else "not a regular file"


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a small regular member. Raises PackError: it is too large to be what it should be."""
    if member.size > MAX_FILE:
        raise PackError(f"{member.name} has {member.size:,} bytes, more than the limit of {MAX_FILE:,}")
    stream = tar.extractfile(member)
    assert stream is not None, "only regular files are read"
    with stream:  # left to the garbage collector, its close() would swallow a Ctrl-C that comes meanwhile
        return stream.read()


class _Part(io.RawIOBase):
    """A place as a file of its own."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._file = open(place.path, "rb", buffering=0)
        self._start = place.offset
        self._size = os.fstat(self._file.fileno()).st_size if place.size is None else place.size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = max(min(len(buffer), self._size - self._at), 0)
        self._file.seek(self._start + self._at)
        count = self._file.readinto(memoryview(buffer)[:wanted]) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _explained(title: str | Path) -> Iterator[None]:
    try:
        yield
    except PackError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise PackError(f"{title} cannot be read: it is truncated or no tar file ({error}); "
                        "download it again") from error
