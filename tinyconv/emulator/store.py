"""What is kept on disk: files under names that hash everything they were made from.

A file ends with a hash of its content.  One that was cut short, because the disk was full or the machine went down, is
noticed and made again.  (A shared object is loaded with that at its end, which the loader does not mind.)
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_SEAL = hashlib.sha256().digest_size


def folder() -> Path:
    """$TINYCONV_CACHE, else ~/.cache/tinyconv, and there ``emulator``."""
    root = os.environ.get("TINYCONV_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "tinyconv")
    return Path(root).expanduser() / "emulator"


def key(*parts: str) -> str:
    digest = hashlib.sha256(b"sealed")  # so that older versions, which know no seal, look for other names
    for part in parts:
        digest.update(f"{len(part)} {part}".encode())
    return digest.hexdigest()[:32]


def kept(name: str, suffix: str, make: Callable[[], bytes], *tools: Callable[[], str | None]) -> Path:
    """The file of this name with what ``make`` returns, made now if it is not there.  ``tools`` tell which they are,
    for the name; if one is missing (None), whatever was made before with another will do."""
    identities = [tool() for tool in tools]
    if None in identities:
        made_before = sorted(filter(_is_whole, folder().glob(f"{name}-*{suffix}")))
        path = made_before[-1] if made_before else folder() / f"{name}-none{suffix}"
    else:
        path = folder() / f"{name}-{key(*map(str, identities))[:8]}{suffix}"
    if not _is_whole(path):
        _write(path, make())
    return path


def content(path: Path) -> bytes:
    """Of a kept file."""
    return path.read_bytes()[:-_SEAL]


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    sealed = path.read_bytes()
    return sealed[-_SEAL:] == hashlib.sha256(sealed[:-_SEAL]).digest()


def _write(target: Path, content: bytes) -> None:
    """A file appears complete or not at all, whatever other processes write at the same time."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content + hashlib.sha256(content).digest())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise RuntimeError(f"the emulator cannot keep what it builds in {target.parent} ({error.strerror}); set "
                           "TINYCONV_CACHE to a folder that can be written to") from error
