"""Which checkpoints of the past are kept: those of the last epochs, and the best.

    checkpoint.h5                   the newest; every few minutes, and after each epoch
    checkpoints/epoch-0007.h5       after epoch 7; the last K of them
    best.h5                         after the epoch of the highest validation top-1

The files share their content on the disk (hard links) with ``checkpoint.h5`` as it was then, where the file system has
links; so keeping costs no second write.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ..safefile import make_folder, temporary_beside

_NAME = re.compile(r"epoch-(\d+)\.h5")


def keep(out: Path, epoch: int, best: bool, last: int) -> None:
    """After epoch number ``epoch``, whose checkpoint is ``out/checkpoint.h5``; ``best``: it is the best so far;
    ``last``: how many epochs to keep.  May be called again: nothing changes.

    Raises OSError if a file cannot be written; ``checkpoint.h5`` is untouched."""
    newest = out / "checkpoint.h5"
    if best:
        _link(newest, out / "best.h5")
    if last:
        make_folder(out / "checkpoints")
        _link(newest, out / "checkpoints" / f"epoch-{epoch:04}.h5")
    for number, path in kept(out):
        if number <= epoch - last:
            path.unlink()


def kept(out: Path) -> list[tuple[int, Path]]:
    """(epoch, checkpoint) of those kept, the newest first."""
    found = ((_NAME.fullmatch(path.name), path) for path in (out / "checkpoints").glob("epoch-*.h5"))
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    with temporary_beside(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # FAT and some network file systems have no links
            shutil.copyfile(source, temporary)
