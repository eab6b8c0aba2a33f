"""From what a user names -- nothing, a pack, a folder -- to an open pack."""

from __future__ import annotations

from pathlib import Path

from ..safefile import make_folder
from .dataset import Pack
from .errors import PackError
from .pack import QUALITY, describe, pack
from .sources import open_source

EMBEDDED = Path(__file__).with_name("embedded") / "fashion-mnist.h5"


def open_data(source: str | Path | None, out_folder: str | Path, *, resize: int | None = None,
              progress: bool = True) -> Pack:
    """Open `source`.

    None          the embedded pack, 10 classes of Fashion-MNIST
    a .h5 file    that pack
    a folder      of class folders or of the ILSVRC2012 files: packed once, as OUT_FOLDER/<name>.pack.h5, and never
                  in the source. The pack is used again while names, sizes and times of the source's files
                  and `resize` (see `pack`) stay the same.

    `out_folder` is made if needed. `progress` shows a bar and says what is done.
    Raises PackError: there is no such source, it is not usable, or the pack cannot be written.
    """
    if source is None:
        return Pack(EMBEDDED)
    path = Path(source)
    if not path.is_dir():
        return Pack(path)
    return _pack_once(path, Path(out_folder), resize, progress)


def _pack_once(folder: Path, out_folder: Path, resize: int | None, progress: bool) -> Pack:
    say = print if progress else (lambda *_: None)
    out = out_folder / f"{folder.resolve().name}.pack.h5"
    if out.resolve().is_relative_to(folder.resolve()):
        raise PackError(f"{out_folder} lies inside the source {folder}, which stays as it is; "
                        "choose another folder")
    expected = describe(folder, open_source(folder), resize, QUALITY)
    if out.exists():
        try:
            found = Pack(out)
        except PackError as error:
            say(f"packing {folder} again: {error}")
        else:
            if found.fingerprint == expected:
                say(f"using {out}, packed from {folder} before")
                return found
            found.close()
            say(f"packing {folder} again: it or the options changed since {out} was made")
    try:
        make_folder(out_folder)
    except OSError as error:
        raise PackError(error.strerror) from error
    report = pack(folder, out, resize=resize, progress=progress)
    say(report)
    for item in report.skipped[:5]:
        say(f"skipped {item.file}: {item.reason}")
    return Pack(out)
