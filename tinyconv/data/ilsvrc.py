"""The official files of ILSVRC2012 ("ImageNet"), read as they are: nothing is unpacked to the disk."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import PackError
from .photos import Entry, Place, Skipped
from .tars import members, open_gzipped_tar, open_tar, place_of, read, unsafe

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_META = "data/meta.mat"
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
_VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_FEW = 1000  # members of another tar file that are looked at in search of the three


@dataclass(frozen=True)
class Synset:
    """A class: its number in the development kit, its WordNet identifier and its names."""

    ilsvrc_id: int
    wnid: str
    words: str
    train_images: int


class ILSVRC2012:
    """Reads the train tar (a tar of one tar a class), the val tar, and the development kit's labels.

    They lie in a folder, or together in one tar file. Class k is the k-th leaf synset (num_children = 0) in the
    order of WordNet identifiers. This is the numbering of Caffe, PyTorch and everybody since; the kit's own
    ILSVRC2012_ID, which the ground truth uses, is another.
    """

    def __init__(self, folder: Path):
        found = _find(folder)
        for name in (TRAIN, VAL, DEVKIT):
            if name not in found:
                raise PackError(f"{folder} lacks {name}; {TRAIN}, {VAL} and {DEVKIT} are all needed")
        self._train, self._val = found[TRAIN], found[VAL]
        self._train_title, self._val_title, devkit_title = (folder / name for name in (TRAIN, VAL, DEVKIT))
        self.inputs = [folder] if folder.is_file() else [self._train_title, self._val_title, devkit_title]
        leaves, truth = read_devkit(found[DEVKIT], devkit_title)
        self.classes = [leaf.words for leaf in leaves]
        self.wnids = [leaf.wnid for leaf in leaves]
        self._val_labels = _labels_of_truth(truth, leaves, devkit_title)
        self._check_val_count()
        self.total = sum(leaf.train_images for leaf in leaves) + len(self._val_labels)
        self.provenance = f"ILSVRC2012 (ImageNet), official files {TRAIN}, {VAL}, {DEVKIT}"
        self.licence = ("ImageNet terms of access: non-commercial research and education only, "
                        "no redistribution; https://image-net.org/download")

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether any of the three files is in the folder or the tar file."""
        return bool(_find(folder))

    def entries(self) -> Iterator[Entry | Skipped]:
        yield from self._train_entries()
        yield from self._val_entries()

    def _train_entries(self) -> Iterator[Entry | Skipped]:
        label_of = {f"{wnid}.tar": label for label, wnid in enumerate(self.wnids)}
        missing = set(label_of)
        with open_tar(self._train, self._train_title) as outer:
            for member in members(outer):
                if member.name in label_of and member.name not in missing:
                    raise PackError(f"{self._train_title} holds {member.name} twice; download it again")
                if (problem := unsafe(member)) or member.name not in label_of:
                    yield Skipped(member.name, problem or "not the tar of a class in the development kit")
                    continue
                missing.discard(member.name)
                yield from _entries_of_class(place_of(member, self._train), label_of[member.name],
                                             self._train_title / member.name)
        if missing:
            raise PackError(f"{self._train_title} lacks {len(missing)} classes, {min(missing)} for one; "
                            "it is incomplete: download it again")

    def _val_entries(self) -> Iterator[Entry | Skipped]:
        with open_tar(self._val, self._val_title) as tar:
            for member in members(tar):
                number = _val_number(member)
                if number is None:
                    yield Skipped(member.name, unsafe(member) or "not named ILSVRC2012_val_<8 digits>.JPEG")
                else:
                    yield Entry("val", self._val_labels[number - 1], member.name, place_of(member, self._val))

    def _check_val_count(self) -> None:
        with open_tar(self._val, self._val_title) as tar:
            numbers = [number for member in members(tar) if (number := _val_number(member)) is not None]
        count = len(self._val_labels)
        if sorted(numbers) != list(range(1, count + 1)):
            raise PackError(f"{self._val_title} has {len(numbers)} images, but the ground truth in {DEVKIT} labels "
                            f"images 1 to {count}; one of the two files is incomplete: download it again")


def _find(folder: Path) -> dict[str, Place]:
    """Where the three files are: in the folder, or in the tar file, at whatever depth there."""
    if folder.is_dir():
        return {name: Place(folder / name) for name in (TRAIN, VAL, DEVKIT) if (folder / name).is_file()}
    found, whole = {}, Place(folder)
    with open_tar(whole) as tar:
        for i, member in enumerate(members(tar)):
            name = member.name.rpartition("/")[2]
            if name in (TRAIN, VAL, DEVKIT) and not unsafe(member):
                found[name] = place_of(member, whole)
            if len(found) == 3 or (not found and i > _FEW):
                break
    return found


def read_devkit(place: Place, title: Path) -> tuple[list[Synset], list[int]]:
    """The leaf synsets, ordered by wnid, and the validation images' ILSVRC2012_IDs.

    Raises PackError: not the development kit, or damaged.
    """
    with open_gzipped_tar(place, title) as tar:
        found = {name: read(tar, member) for member in tar for name in (_META, _TRUTH)
                 if member.isfile() and member.name.endswith(name)}
    for name in (_META, _TRUTH):
        if name not in found:
            raise PackError(f"{title} has no {name}; is it the development kit of tasks 1 and 2?")
    try:
        leaves = _leaves(found[_META])
    except Exception as error:  # SciPy raises nearly anything for a damaged file
        raise PackError(f"{title}: {_META} is not readable: {error}; download the file again") from error
    truth = [_integer(line, f"{title}: line {i} of {_TRUTH}")
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


def _entries_of_class(place: Place, label: int, title: Path) -> Iterator[Entry | Skipped]:
    with open_tar(place, title) as tar:
        for member in members(tar):
            if problem := unsafe(member):
                yield Skipped(member.name, problem)
            else:
                yield Entry("train", label, member.name, place_of(member, place))


def _val_number(member: tarfile.TarInfo) -> int | None:
    match = _VAL_NAME.fullmatch(member.name)
    return int(match[1]) if match and not unsafe(member) else None
