"""Folders and files by name, whether they lie on the disk or in a tar file."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from .photos import Place, Skipped
from .tars import members, open_tar, place_of, unsafe

Name = str  # of a file or folder in the tree, with "/" between its parts; "" is the root


class Tree(Protocol):
    """A folder that holds folders and files. Hidden ones (.name) do not count."""

    path: Path  # of the folder or the tar file
    skipped: list[Skipped]  # what is in it but is no file to read

    def subfolders(self, folder: Name) -> list[str]:
        """The names of the folders directly in it, sorted."""
        ...

    def files(self, folder: Name) -> list[tuple[Name, Place]]:
        """All files in it, at any depth, in the order of their paths; [] if there is no such folder."""
        ...

    def file(self, name: Name) -> Place | None:
        """The file of this name directly in the root, if there is one."""
        ...

    def inputs(self, files: Iterable[Place]) -> Iterable[Path]:
        """The files of the disk that `files` are read from."""
        ...


class FolderTree:
    """A folder of the disk."""

    def __init__(self, path: Path):
        self.path = path
        self.skipped: list[Skipped] = []

    def subfolders(self, folder: Name) -> list[str]:
        return sorted(path.name for path in (self.path / folder).iterdir()
                      if path.is_dir() and not path.name.startswith("."))

    def files(self, folder: Name) -> list[tuple[Name, Place]]:
        if not (self.path / folder).is_dir():
            return []
        found = []
        for parent, _, names in os.walk(self.path / folder, onerror=_raise):
            found += [Path(parent, name) for name in names if not name.startswith(".")]
        return [(path.relative_to(self.path).as_posix(), Place(path)) for path in sorted(found)]

    def file(self, name: Name) -> Place | None:
        return Place(self.path / name) if (self.path / name).is_file() else None

    def inputs(self, files: Iterable[Place]) -> Iterable[Path]:
        return (place.path for place in files)


def _raise(error: OSError) -> None:
    raise error  # os.walk passes over a folder that it cannot read unless told otherwise


class TarTree:
    """A tar file. What would lead out of it, links and devices are not in the tree, but in `skipped`.

    If all lies in one folder that has folders itself, as `tar c photos/` makes it, that folder is the root.
    Memory: about 40 bytes and the length of its name for each file. Raises PackError: damaged, or no tar file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.skipped: list[Skipped] = []
        self._folders: dict[Name, _Files] = {}
        tar_place = Place(path)
        with open_tar(tar_place) as tar:
            for member in members(tar):
                self._add(member.name, unsafe(member) if not member.isdir() else "", member.isdir(),
                          place_of(member, tar_place))
        for folder, files in self._folders.items():
            self.skipped += [Skipped(_join(folder, name), "the archive holds it again further on")
                             for name in files.repeated()]
        self._root = ""
        self._children = self._find_children()
        top = self._children.get("", set())
        if len(top) == 1 and "" not in self._folders and self._children.get(only := next(iter(top))):
            self._root = only

    def _add(self, name: str, problem: str, folder: bool, place: Place) -> None:
        path = PurePosixPath(name)
        if problem:
            self.skipped.append(Skipped(name, problem))
        elif folder or path.name.startswith("."):
            return  # a folder is known by its files
        else:
            parent = "" if str(path.parent) == "." else str(path.parent)
            self._folders.setdefault(parent, _Files()).add(path.name, place)

    def _find_children(self) -> dict[Name, set[str]]:
        children: dict[Name, set[str]] = {}
        for folder in self._folders:
            parent = ""
            for part in PurePosixPath(folder).parts:
                children.setdefault(parent, set()).add(part)
                parent = _join(parent, part)
        return children

    def subfolders(self, folder: Name) -> list[str]:
        return sorted(name for name in self._children.get(_join(self._root, folder), ()) if not name.startswith("."))

    def files(self, folder: Name) -> list[tuple[Name, Place]]:
        top = _join(self._root, folder)
        found = {_join(parent, name)[len(self._root) :].lstrip("/"): place
                 for parent, files in self._folders.items() if (parent + "/").startswith(top + "/" if top else "")
                 for name, place in files.items(self.path)}
        return sorted(found.items(), key=lambda item: item[0].split("/"))

    def file(self, name: Name) -> Place | None:
        files = self._folders.get(self._root)
        return dict(files.items(self.path)).get(name) if files else None

    def inputs(self, files: Iterable[Place]) -> Iterable[Path]:
        return [self.path]


class _Files:
    """Names and places of the files in a folder, packed tightly: there may be a million."""

    def __init__(self) -> None:
        self._names = bytearray()  # each ends with a zero byte, which no name holds
        self._offsets = array("q")
        self._sizes = array("q")

    def add(self, name: str, place: Place) -> None:
        self._names += os.fsencode(name) + b"\0"
        self._offsets.append(place.offset)
        self._sizes.append(place.size or 0)

    def items(self, path: Path) -> Iterator[tuple[str, Place]]:
        names = map(os.fsdecode, bytes(self._names).split(b"\0"))
        for name, offset, size in zip(names, self._offsets, self._sizes, strict=False):  # one empty name at the end
            yield name, Place(path, offset, size)

    def repeated(self) -> list[str]:
        """The names that occur once more, later; the later file counts."""
        seen: set[bytes] = set()
        found = [name for name in bytes(self._names).split(b"\0")[:-1] if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        return list(map(os.fsdecode, found))


def _join(folder: Name, name: Name) -> Name:
    return f"{folder}/{name}" if folder and name else folder or name
