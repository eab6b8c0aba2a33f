"""The official files of ILSVRC2012 ("ImageNet"), read as they are: nothing is unpacked to the disk."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from .errors import PackError
from .photos import Photo, Skipped

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_META = "data/meta.mat"
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
_VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


@dataclass(frozen=True)
class Synset:
    """A class: its number in the development kit, its WordNet identifier and its names."""

    ilsvrc_id: int
    wnid: str
    words: str
    train_images: int


class ILSVRC2012:
    """Reads the train tar (a tar of one tar a class), the val tar, and the development kit's labels.

    Class k is the k-th leaf synset (num_children = 0) in the order of WordNet identifiers. This is the
    numbering of Caffe, PyTorch and everybody since; the kit's own ILSVRC2012_ID, which the ground truth uses,
    is another.
    """

    def __init__(self, folder: Path):
        self.inputs = [folder / name for name in (TRAIN, VAL, DEVKIT)]
        for path in self.inputs:
            if not path.is_file():
                raise PackError(f"{folder} lacks {path.name}; {TRAIN}, {VAL} and {DEVKIT} are all needed")
        self._train, self._val, devkit = self.inputs
        leaves, truth = read_devkit(devkit)
        self.classes = [leaf.words for leaf in leaves]
        self.wnids = [leaf.wnid for leaf in leaves]
        self._val_labels = _labels_of_truth(truth, leaves, devkit)
        self._check_val_count()
        self.total = sum(leaf.train_images for leaf in leaves) + len(self._val_labels)
        self.provenance = f"ILSVRC2012 (ImageNet), official files {TRAIN}, {VAL}, {DEVKIT}"
        self.licence = ("ImageNet terms of access: non-commercial research and education only, "
                        "no redistribution; https://image-net.org/download")

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether any of the three files is there."""
        return any((folder / name).exists() for name in (TRAIN, VAL, DEVKIT))

    def photos(self) -> Iterator[Photo | Skipped]:
        yield from self._train_photos()
        yield from self._val_photos()

    def _train_photos(self) -> Iterator[Photo | Skipped]:
        label_of = {f"{wnid}.tar": label for label, wnid in enumerate(self.wnids)}
        missing = set(label_of)
        with _open_tar(self._train, "r:") as outer:
            for member in outer:
                if member.name in label_of and member.name not in missing:
                    raise PackError(f"{self._train} holds {member.name} twice; download it again")
                if (problem := _unsafe(member)) or member.name not in label_of:
                    yield Skipped(member.name, problem or "not the tar of a class in the development kit")
                    continue
                missing.discard(member.name)
                with _open_tar(self._train / member.name, "r:", outer.extractfile(member)) as inner:
                    yield from _photos_of_class(inner, label_of[member.name])
        if missing:
            raise PackError(f"{self._train} lacks {len(missing)} classes, {min(missing)} for one; "
                            "it is incomplete: download it again")

    def _val_photos(self) -> Iterator[Photo | Skipped]:
        with _open_tar(self._val, "r:") as tar:
            for member in tar:
                number = _val_number(member)
                if number is None:
                    yield Skipped(member.name, _unsafe(member) or "not named ILSVRC2012_val_<8 digits>.JPEG")
                else:
                    yield Photo("val", self._val_labels[number - 1], member.name, _read(tar, member))

    def _check_val_count(self) -> None:
        with _open_tar(self._val, "r:") as tar:
            numbers = [number for member in tar if (number := _val_number(member)) is not None]
        count = len(self._val_labels)
        if sorted(numbers) != list(range(1, count + 1)):
            raise PackError(f"{self._val} has {len(numbers)} images, but the ground truth in {DEVKIT} labels "
                            f"images 1 to {count}; one of the two files is incomplete: download it again")


def read_devkit(path: Path) -> tuple[list[Synset], list[int]]:
    """The leaf synsets, ordered by wnid, and the validation images' ILSVRC2012_IDs.

    Raises PackError: not the development kit, or damaged.
    """
    with _open_tar(path, "r:gz") as tar:
        found = {name: _read(tar, member) for member in tar for name in (_META, _TRUTH)
                 if member.isfile() and member.name.endswith(name)}
    for name in (_META, _TRUTH):
        if name not in found:
            raise PackError(f"{path} has no {name}; is it the development kit of tasks 1 and 2?")
    try:
        leaves = _leaves(found[_META])
    except Exception as error:  # SciPy raises nearly anything for a damaged file
        raise PackError(f"{path}: {_META} is not readable: {error}; download the file again") from error
    truth = [_integer(line, f"{path}: line {i} of {_TRUTH}")
             for i, line in enumerate(found[_TRUTH].decode("ascii", "replace").split(), 1)]
    return leaves, truth


def _leaves(meta: bytes) -> list[Synset]:
    import numpy as np
    from scipy.io import loadmat

    rows: Any = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
    leaves = [Synset(ilsvrc_id=int(row["ILSVRC2012_ID"]), wnid=str(row["WNID"]), words=str(row["words"]),
                     train_images=int(row["num_train_images"]))
              for row in rows if int(row["num_children"]) == 0]
    if not leaves:
        raise ValueError("no synset has num_children = 0")
    return sorted(leaves, key=lambda leaf: leaf.wnid)


def _integer(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise PackError(f"{where} is {text!r}, not an integer") from None


def _labels_of_truth(truth: list[int], leaves: list[Synset], devkit: Path) -> list[int]:
    label_of = {leaf.ilsvrc_id: label for label, leaf in enumerate(leaves)}
    for line, ilsvrc_id in enumerate(truth, 1):
        if ilsvrc_id not in label_of:
            raise PackError(f"{devkit}: line {line} of {_TRUTH} is {ilsvrc_id}, the ILSVRC2012_ID of no "
                            f"leaf synset (1 to {max(label_of)})")
    return [label_of[ilsvrc_id] for ilsvrc_id in truth]


def _photos_of_class(tar: tarfile.TarFile, label: int) -> Iterator[Photo | Skipped]:
    for member in tar:
        if problem := _unsafe(member):
            yield Skipped(member.name, problem)
        else:
            yield Photo("train", label, member.name, _read(tar, member))


def _unsafe(member: tarfile.TarInfo) -> str:
    """Why a member is not taken, or "". Nothing is unpacked, but an honest archive has no such names."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return "its path leads out of the archive"
    return "" if member.isfile() else "not a regular file"


def _val_number(member: tarfile.TarInfo) -> int | None:
    match = _VAL_NAME.fullmatch(member.name)
    return int(match[1]) if match and member.isfile() else None


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream is not None, "only regular files are read"
    with stream:  # left to the garbage collector, its close() would swallow a Ctrl-C that comes meanwhile
        return stream.read()


@contextmanager
def _open_tar(path: Path, mode: Literal["r:", "r:gz"], stream: Any = None) -> Iterator[tarfile.TarFile]:
    """Open a tar file, or the one in `stream`. What is wrong with it becomes a PackError naming `path`."""
    try:
        with tarfile.open(None if stream else path, mode, fileobj=stream) as tar:
            yield tar
    except PackError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise PackError(f"{path} cannot be read: it is truncated or no tar file ({error}); "
                        "download it again") from error
