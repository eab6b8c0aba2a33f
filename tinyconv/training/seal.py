"""A checksum at the end of a checkpoint.

The HDF5 library does not survive everything that a bad disk can do to a file: some damage is read as numbers, and some
makes it search for ever.  So the file is compared with its checksum before the library sees it.  HDF5 ignores what
comes after its own end, so the file still opens in any viewer.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO

_MARK = b"\ntinyconv crc32 "
_LENGTH = len(_MARK) + 9  # eight hexadecimal digits, and a newline
_PART = 1 << 22  # bytes read at a time


def seal(path: Path) -> None:
    """Append the checksum of the file to it."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        checksum = _checksum(file, size)
        file.seek(size)
        file.write(_MARK + b"%08x\n" % checksum)


def check(path: Path) -> None:
    """Raises ValueError if the file is not what it was when it was sealed.  One without a seal, of an older version,
    passes."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END) - _LENGTH
        if size < 0:
            return
        file.seek(size)
        end = file.read()
        if end.startswith(_MARK) and end[len(_MARK):-1] != b"%08x" % _checksum(file, size):
            raise ValueError("it is damaged: its content does not match its checksum")


def _checksum(file: BinaryIO, size: int) -> int:
    """Of the first ``size`` bytes."""
    file.seek(0)
    value = 0
    while size:
        part = file.read(min(size, _PART))
        value, size = zlib.crc32(part, value), size - len(part)
    return value
