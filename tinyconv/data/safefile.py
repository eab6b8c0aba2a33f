"""A file that appears complete or not at all, and that HDF5 can write to on a full disk."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import PackError


class PatientFile(io.RawIOBase):
    """A binary file that remembers a failed or interrupted write instead of raising it: see `check`.

    The HDF5 library cannot stand a failed write: close() fails as well, and the process crashes when it exits
    (seen with HDF5 1.14 on a full disk). So the library is told that all went well, and the writer asks
    `check`.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._file = open(path, "x+b", buffering=0)
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while view and self.error is None:
                view = view[self._file.write(view) :]
        except BaseException as error:  # Ctrl-C, too
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def check(self) -> None:
        """Raise what the first failed write raised, an OSError mostly, if there was one."""
        if self.error is not None:
            raise self.error

    def sync(self) -> None:
        """Have the bytes on the disk, or raise OSError."""
        self.check()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def replacing(path: Path) -> Iterator[PatientFile]:
    """Write `path` by way of a temporary file in its folder; an error leaves what was at `path` as it was.

    Raises PackError: the folder does not exist or is not writable, `path` is a folder, or the disk is full.
    """
    if path.is_dir():
        raise PackError(f"cannot write {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise PackError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with PatientFile(temporary) as file:
            yield file
            file.sync()
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise PackError(f"cannot write {path}: {error.strerror or error}; "
                        "free some space or choose another place") from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can sync a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
