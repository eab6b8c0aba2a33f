"""The usual way to keep labelled images: a folder for every class, the photos of the class in it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .errors import PackError
from .photos import Photo, Skipped

_SPLIT_FOLDERS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_HELD_OUT = 0.1
_RULE = "the images whose names have the smallest SHA-256"
_WNID = re.compile(r"n\d{8}")
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
_LICENCE_LENGTH = 16_000  # HDF5 keeps at most 64 kB in an attribute


class ClassFolders:
    """Reads FOLDER/<class>/<image>, or FOLDER/{train, val or validation, test}/<class>/<image>.

    Classes are numbered in the order of their names. Without a val folder a tenth of each class's training
    images (at least one, where there are two) become the val split: those whose names have the smallest
    SHA-256, so that the choice needs no random state and hardly moves when images are added.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._splits = _find_splits(folder)
        self.classes = _subfolders(self._splits["train"])
        self._check_classes()
        self.wnids = self.classes if all(map(_WNID.fullmatch, self.classes)) else []
        self._listing = [entry for split in self._splits for entry in self._list(split)]
        self.inputs = [path for _, _, path in self._listing]
        self.total = len(self.inputs)
        if not self.total:
            raise PackError(f"the class folders in {folder} are empty; put images into {folder}/<class>/")
        held_out = "" if "val" in self._splits else f"; val is {_HELD_OUT:.0%} of each class, {_RULE}"
        self.provenance = f"class folders in {folder.resolve().name}{held_out}"
        self.licence = _read_licence(folder)

    def photos(self) -> Iterator[Photo | Skipped]:
        for split, label, path in self._listing:
            name = path.relative_to(self._folder).as_posix()
            if not path.is_file():  # a pipe would block for ever
                yield Skipped(name, "not a regular file" if path.exists() else "a link to nothing")
                continue
            try:
                yield Photo(split, label, name, path.read_bytes())
            except OSError as error:
                yield Skipped(name, f"cannot be read: {error.strerror or error}")

    def _check_classes(self) -> None:
        if not self.classes:
            raise PackError(f"{self._splits['train']} has no class folders; expected "
                            f"{self._folder}/<class>/<image> or the three ILSVRC2012 files")
        for split, folder in self._splits.items():
            unknown = sorted(set(_subfolders(folder)) - set(self.classes))
            if unknown:
                raise PackError(f"{folder}/{unknown[0]} is a class that {self._splits['train']} lacks; "
                                f"every class of {split} needs training images")

    def _list(self, split: str) -> list[tuple[str, int, Path]]:
        listing = []
        for label, name in enumerate(self.classes):
            paths = _files(self._splits[split] / name)
            held_out = _held_out(paths) if split == "train" and "val" not in self._splits else set()
            listing += [("val" if path in held_out else split, label, path) for path in paths]
        return listing


def _find_splits(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in _subfolders(folder):
        if (split := _SPLIT_FOLDERS.get(name)) is None:
            continue
        if split in found:
            raise PackError(f"{found[split]} and {folder / name} are both the {split} split; "
                            "merge or remove one")
        found[split] = folder / name
    if not found:
        return {"train": folder}
    if "train" not in found:
        names = ", ".join(path.name for path in found.values())
        raise PackError(f"{folder} has {names} but no train folder; put the training images "
                        f"into {folder}/train/<class>/")
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []  # a class may lack images in val or test
    found = []
    for parent, _, names in os.walk(folder, onerror=_raise):
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error  # os.walk passes over a folder that it cannot read unless told otherwise


def _held_out(paths: list[Path]) -> set[Path]:
    count = max(round(len(paths) * _HELD_OUT), 1) if len(paths) > 1 else 0
    return set(sorted(paths, key=lambda path: hashlib.sha256(os.fsencode(path.name)).digest())[:count])


def _read_licence(folder: Path) -> str:
    for name in _LICENCE_FILES:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8", errors="replace")[:_LICENCE_LENGTH]
    return "not stated by the source"
