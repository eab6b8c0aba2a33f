"""From what a user names -- nothing, a pack, a folder -- to an open pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..safefile import make_folder
from .dataset import Pack
from .errors import PackError
from .manifest import MANIFEST
from .pack import SHARDED, describe, pack
from .photos import Source
from .prepare import Recipe
from .sources import is_tar, open_source

EMBEDDED = Path(__file__).with_name("embedded") / "fashion-mnist.h5"
_SMALL = 64 << 20  # bytes of image files up to which a set becomes one file


def open_data(source: str | Path | None, out_folder: str | Path, *, resize: int | None = None,
              progress: bool = True) -> Pack:
    """Open `source`.

    None          the embedded pack, 10 classes of Fashion-MNIST
    a pack        a .h5 file, or a NAME.pack folder: that pack
    a folder, or a tar file
                  of class folders or of the ILSVRC2012 files: packed once, and never in the source, as
                  OUT_FOLDER/<name>.pack.h5 if its files have at most 64 MiB, for then it is packed in seconds and read
                  into memory as a whole, and else as shards in OUT_FOLDER/<name>.pack, by all cores and so that a
                  killed run goes on. The pack is used again while names, sizes and times of the source's files
                  and `resize` (see `pack`) stay the same.

    `out_folder` is made if needed. `progress` shows a bar and says what is done.
    Raises PackError: there is no such source, it is not usable, or the pack cannot be written.
    """
    if source is None:
        return Pack(EMBEDDED)
    path = Path(source)
    if (path.is_dir() and not (path / MANIFEST).is_file()) or is_tar(path):
        return _pack_once(path, Path(out_folder), resize, progress)
    return Pack(path)


def _pack_once(folder: Path, out_folder: Path, resize: int | None, progress: bool) -> Pack:
    say = print if progress else (lambda *_: None)
    name = folder.resolve().stem if folder.is_file() else folder.resolve().name
    shards, file = out_folder / f"{name}{SHARDED}", out_folder / f"{name}.pack.h5"
    if file.resolve().is_relative_to(folder.resolve()):
        raise PackError(f"{out_folder} lies inside the source {folder}, which stays as it is; "
                        "choose another folder")
    opened = open_source(folder)
    expected = describe(folder, opened, Recipe(resize))
    for made in (shards, file):  # either may be there: of old, every set became one file
        if (found := _usable(made, folder, expected, say)) is not None:
            return found
    try:
        make_folder(out_folder)
    except OSError as error:
        raise PackError(error.strerror) from error
    report = pack(folder, file if _bytes(opened) <= _SMALL else shards, resize=resize, progress=progress)
    say(report)
    for item in report.skipped[:5]:
        say(f"skipped {item.file}: {item.reason}")
    return Pack(report.path)


def _usable(made: Path, folder: Path, expected: str, say: Callable[..., None]) -> Pack | None:
    if not made.exists():
        return None
    try:
        found = Pack(made)
    except PackError as error:
        say(f"packing {folder} again: {error}")
        return None
    if found.fingerprint == expected:
        say(f"using {made}, packed from {folder} before")
        return found
    found.close()
    say(f"packing {folder} again: it or the options changed since {made} was made")
    return None


def _bytes(source: Source) -> int:
    return sum(path.stat().st_size for path in source.inputs if path.is_file())
