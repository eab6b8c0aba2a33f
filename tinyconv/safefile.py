"""Files that appear complete or not at all: written under a temporary name beside their place, flushed, then renamed.

The temporary name is the same each time, so that what a killed process left behind is overwritten and does not pile up.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends without an error, the file there takes the place of ``path``.

    Whatever happens, ``path`` holds either what it held before or all of the new content.  Raises OSError that names
    ``path``, if its folder does not exist or cannot be written to, or the disk is full."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"cannot write {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"cannot write {path}: there is no folder {path.parent}; make it first")
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}; what was there before is "
                                   "untouched; free some space or choose another place") from error
    finally:
        with suppress(OSError):  # renamed already, or never made
            temporary.unlink()


@contextmanager
def hdf5_stream(path: Path) -> Iterator[PatientFile]:
    """What :func:`temporary_beside` is for other files, as a stream for ``h5py.File``.  Close that within the block."""
    with temporary_beside(path) as temporary, PatientFile(temporary) as stream:
        yield stream
        stream.check()


def write_text(path: Path, text: str) -> None:
    """``text`` (UTF-8) as the whole content of ``path``.  Raises OSError, see :func:`temporary_beside`."""
    with temporary_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class PatientFile(io.RawIOBase):
    """A new binary file that remembers a failed or interrupted write instead of raising it, for the HDF5 library.

    After a failed write (a full disk) closing the HDF5 file fails as well, and the process crashes when it exits
    (seen with HDF5 1.14).  So the library is told that all went well, and the writer asks :meth:`check` at the
    end."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = open(path, "w+b", buffering=0)
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while view and self.error is None:
                view = view[self._file.write(view):]
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

    def close(self) -> None:
        self._file.close()
        super().close()


def make_folder(folder: Path) -> None:
    """Make ``folder`` and what it lies in, unless they exist.  Raises OSError with a remedy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot make the folder {folder}: {error.strerror}; choose another") from error


@contextmanager
def only_user_of(folder: Path) -> Iterator[None]:
    """Nobody else is in such a block for the same folder, in any process; the lock ends with the process at the latest.

    Raises OSError if somebody is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OSError(error.errno, f"another run uses the folder {folder}; wait for it or choose another") from error
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """A rename is only on the disk once its folder is (where the system can sync one)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
