"""The usual way to keep labelled images: a folder for every class, the photos of the class in it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import PackError
from .photos import Entry, Place, Skipped
from .trees import FolderTree, Name, Tree

_SPLIT_FOLDERS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_HELD_OUT = 0.1
_IMAGE = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?|ppm|pgm)$", re.IGNORECASE)
_RULE = "the images whose names have the smallest SHA-256"
_WNID = re.compile(r"n\d{8}")
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
_LICENCE_LENGTH = 16_000  # HDF5 keeps at most 64 kB in an attribute


class ClassFolders:
    """Reads TREE/<class>/<image>, or TREE/{train, val or validation, test}/<class>/<image>; a folder or a tar file.

    Classes are numbered in the order of their names. Without a val folder a tenth of each class's training
    images (at least one, where there are two) become the val split: those whose names have the smallest
    SHA-256, so that the choice needs no random state and hardly moves when images are added.

    Only one class's files are listed at a time.
    """

    def __init__(self, tree: Tree | Path):
        self._tree = FolderTree(tree) if isinstance(tree, Path) else tree
        self._splits = self._find_splits()
        names = self._tree.subfolders(self._splits["train"])
        counts = {name: len(self._files("train", name)) for name in names}
        self.classes = [name for name in names if counts[name]]
        self._empty = [Skipped(name, "a class folder without files is no class") for name in names
                       if name not in self.classes]
        self._check_classes(names)
        self.wnids = self.classes if all(map(_WNID.fullmatch, self.classes)) else []
        self.total = sum(counts.values()) + sum(len(self._files(split, name)) for split in self._splits
                                                if split != "train" for name in self.classes)
        held_out = "" if "val" in self._splits else f"; val is {_HELD_OUT:.0%} of each class, {_RULE}"
        title = os.fsencode(self._tree.path.resolve().name).decode("utf-8", "backslashreplace")
        self.provenance = f"class folders in {title}{held_out}"
        self.licence = self._read_licence()

    @property
    def inputs(self) -> Iterable[Path]:
        return self._tree.inputs(place for split in self._splits for name in self.classes
                                 for _, place in self._files(split, name))

    def entries(self) -> Iterator[Entry | Skipped]:
        yield from self._tree.skipped
        yield from self._empty
        for split in self._splits:
            for label, name in enumerate(self.classes):
                files = self._files(split, name)
                held_out = _held_out(files) if split == "train" and "val" not in self._splits else set()
                for file, place in files:
                    yield Entry("val" if file in held_out else split, label, file, place)

    def _files(self, split: str, name: str) -> list[tuple[Name, Place]]:
        return self._tree.files(f"{self._splits[split]}/{name}" if self._splits[split] else name)

    def _find_splits(self) -> dict[str, Name]:
        path, found = self._tree.path, dict[str, Name]()
        for name in self._tree.subfolders(""):
            if (split := _SPLIT_FOLDERS.get(name.lower())) is None:
                continue
            if split in found:
                raise PackError(f"{path / found[split]} and {path / name} are both the {split} split; "
                                "merge or remove one")
            found[split] = name
        if not found:
            return {"train": ""}
        if "train" not in found:
            raise PackError(f"{path} has {', '.join(found.values())} but no train folder; put the training images "
                            f"into {path}/train/<class>/")
        return {split: found[split] for split in ("train", "val", "test") if split in found}

    def _check_classes(self, names: list[str]) -> None:
        path, train = self._tree.path, self._tree.path / self._splits["train"]
        for split, folder in self._splits.items():
            unknown = sorted(name for name in set(self._tree.subfolders(folder)) - set(self.classes)
                             if name not in names or (split != "train" and self._files(split, name)))
            if unknown:
                raise PackError(f"{path / folder}/{unknown[0]} is a class that {train} lacks; "
                                f"every class of {split} needs training images")
        if not names:
            raise PackError(f"{train} has no class folders; expected "
                            f"{path}/<class>/<image> or the three ILSVRC2012 files")
        if not self.classes:
            raise PackError(f"the class folders in {path} are empty; put images into {path}/<class>/")

    def _read_licence(self) -> str:
        for name in _LICENCE_FILES:
            if place := self._tree.file(name):
                return place.read().decode("utf-8", "replace")[:_LICENCE_LENGTH]
        return "not stated by the source"


def _held_out(files: list[tuple[Name, Place]]) -> set[Name]:
    names = [name for name, _ in files]
    images = [name for name in names if _IMAGE.search(name)] or names  # other files could not be tested on
    count = max(round(len(images) * _HELD_OUT), 1) if len(images) > 1 else 0
    return set(sorted(images, key=lambda name: hashlib.sha256(os.fsencode(name.rpartition("/")[2])).digest())[:count])
