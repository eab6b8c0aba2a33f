"""Reading a sharded pack, layout version 2: `manifest.py` says what is in one."""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import PackError
from .layout import DAMAGE
from .manifest import INDEX, MEAN_IMAGE, FileRecord, ShardRecord, all_files, read_manifest, records

_OPEN = 64  # shards of a split that are open at a time


class Sharded:
    """What `Pack` shows, from a folder of shards.

    Opening looks at the sizes of all files and at the checksum of the index, not at the shards: that is what
    `python -m tinyconv.data.check` does. Raises PackError: a file is missing or has another size.
    """

    def __init__(self, path: Path):
        self.path = path
        self.manifest = read_manifest(path)
        try:
            self._read(self.manifest)
        except PackError:
            raise
        except DAMAGE as error:
            raise PackError(f"{path} is a damaged pack: its manifest: {type(error).__name__}: {error}; "
                            "pack the source again") from error

    def _read(self, found: dict[str, Any]) -> None:
        self.classes, self.wnids = list(found["classes"]), list(found["wnids"])
        self.provenance, self.licence, self.fingerprint = found["provenance"], found["licence"], found["fingerprint"]
        self.splits, self.grey = list(found["splits"]), bool(found["grey"])
        self.skipped: list[tuple[str, str]] = [(file, reason) for file, reason in found["skipped"]]
        self.shards = {split: records(found, split) for split in self.splits}
        numbers = found["statistics"]
        self.mean, self.std, self.eigenvalues, self.eigenvectors = (
            np.array(numbers[name], np.float64) for name in ("mean", "std", "eigenvalues", "eigenvectors"))
        for record in all_files(found):
            _check_size(self.path, record)
        if problem := FileRecord(**found["index"]).problem(self.path):
            raise PackError(f"{self.path} is a damaged pack: {problem}; pack the source again")

    @cached_property
    def mean_image(self) -> np.ndarray | None:
        """(H, W, 3) float64 in 0..255, or None. Raises PackError: its file is damaged."""
        if not (record := self.manifest["mean_image"]):
            return None
        if problem := FileRecord(**record).problem(self.path):
            raise PackError(f"{self.path} is a damaged pack: {problem}; pack the source again")
        return np.load(self.path / MEAN_IMAGE)

    def images(self, split: str, in_memory: bool) -> ShardedImages:
        """The images of a split. `in_memory` is of no use here: the system keeps in memory what is read often."""
        try:
            return ShardedImages(self.path, split, self.shards[split], bool(self.manifest["options"]["raw"]),
                                 len(self.classes))
        except DAMAGE as error:
            raise PackError(f"{self.path} is a damaged pack: {INDEX}: {error}; pack the source again") from error

    def close(self) -> None:
        """Nothing is open: shards are, as long as a split is in use."""


class ShardedImages:
    """The stored images of a split, read with one call to the system each. Threads may share it."""

    def __init__(self, folder: Path, split: str, shards: list[ShardRecord], raw: bool, classes: int):
        self._folder, self._split = folder, split
        with h5py.File(folder / INDEX, "r") as index:
            group = index[split]
            self.labels: np.ndarray = group["labels"][...].astype(np.int64)
            self._starts, self._sizes, self._firsts = (group[name][...] for name in ("starts", "sizes", "shards"))
        if self.labels.min() < 0 or self.labels.max() >= classes:
            raise ValueError(f"labels of {split} are not all in 0..{classes - 1}")
        self._names = [record.file.file for record in shards if record.file]
        self._shape = shards[0].shape if raw else None
        self._open = lru_cache(_OPEN)(_Shard)

    def encoded(self, index: int) -> bytes | None:
        """The file of an image; None where pixels are stored."""
        return None if self._shape else self._read(index)

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 where pixels are stored."""
        assert self._shape is not None
        return np.frombuffer(self._read(index), np.uint8).reshape(self._shape)

    def file(self, index: int) -> str:
        """The image's name in the source, read from the index: a million names need not be in memory."""
        with h5py.File(self._folder / INDEX, "r") as file:
            return str(file[self._split]["files"].asstr()[index])

    def _read(self, index: int) -> bytes:
        name = self._names[int(np.searchsorted(self._firsts, index, side="right")) - 1]
        size = int(self._sizes[index])
        try:
            data = self._open(self._folder / name).read(size, int(self._starts[index]))
        except OSError as error:
            raise PackError(f"{self._folder / name} cannot be read: {error.strerror or error}") from error
        if len(data) != size:
            raise PackError(f"{self._folder / name} is truncated: copy or pack it again")
        return data


class _Shard:
    """An open file. It is closed when nobody uses it any more, so that no thread reads from a closed one."""

    def __init__(self, path: Path):
        self._handle = -1
        self._handle = os.open(path, os.O_RDONLY)

    def read(self, size: int, start: int) -> bytes:
        return os.pread(self._handle, size, start)

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)


def _check_size(folder: Path, record: FileRecord) -> None:
    try:
        size = (folder / record.file).stat().st_size
    except OSError as error:
        raise PackError(f"{folder} is a damaged pack: {record.file}: {error.strerror}; "
                        "copy or pack it again") from error
    if size != record.bytes:
        raise PackError(f"{folder} is a damaged pack: {record.file} has {size:,} bytes, not {record.bytes:,}; "
                        "copy or pack it again")
