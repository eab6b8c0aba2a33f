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
_IMAGE = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?|ppm|pgm)$", re.IGNORECASE)
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
        names = _subfolders(self._splits["train"])
        self.classes = [name for name in names if _files(self._splits["train"] / name)]
        self._empty = [Skipped(name, "a class folder without files is no class") for name in names
                       if name not in self.classes]
        self._check_classes(names)
        self.wnids = self.classes if all(map(_WNID.fullmatch, self.classes)) else []
        self._listing = [entry for split in self._splits for entry in self._list(split)]
        self.inputs = [path for _, _, path in self._listing]
        self.total = len(self.inputs)
        held_out = "" if "val" in self._splits else f"; val is {_HELD_OUT:.0%} of each class, {_RULE}"
        name = os.fsencode(folder.resolve().name).decode("utf-8", "backslashreplace")
        self.provenance = f"class folders in {name}{held_out}"
        self.licence = _read_licence(folder)

    def photos(self) -> Iterator[Photo | Skipped]:
        yield from self._empty
        for split, label, path in self._listing:
            name = path.relative_to(self._folder).as_posix()
            if not path.is_file():  # a pipe would block for ever
                yield Skipped(name, "not a regular file" if path.exists() else "a link to nothing")
                continue
            try:
                yield Photo(split, label, name, path.read_bytes())
            except OSError as error:
                yield Skipped(name, f"cannot be read: {error.strerror or error}")

    def _check_classes(self, names: list[str]) -> None:
        for split, folder in self._splits.items():
            unknown = sorted(name for name in set(_subfolders(folder)) - set(self.classes)
                             if name not in names or (split != "train" and _files(folder / name)))
            if unknown:
                raise PackError(f"{folder}/{unknown[0]} is a class that {self._splits['train']} lacks; "
                                f"every class of {split} needs training images")
        if not names:
            raise PackError(f"{self._splits['train']} has no class folders; expected "
                            f"{self._folder}/<class>/<image> or the three ILSVRC2012 files")
        if not self.classes:
            raise PackError(f"the class folders in {self._folder} are empty; put images into {self._folder}/<class>/")

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
        if (split := _SPLIT_FOLDERS.get(name.lower())) is None:
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
    images = [path for path in paths if _IMAGE.search(path.name)] or paths  # other files could not be tested on
    count = max(round(len(images) * _HELD_OUT), 1) if len(images) > 1 else 0
    return set(sorted(images, key=lambda path: hashlib.sha256(os.fsencode(path.name)).digest())[:count])


def _read_licence(folder: Path) -> str:
    for name in _LICENCE_FILES:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8", errors="replace")[:_LICENCE_LENGTH]
    return "not stated by the source"
