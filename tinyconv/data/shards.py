"""Makes one shard of a pack: a unit of work that knows all it needs, and that is not done twice."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from ..safefile import hdf5_stream, write_text
from . import layout
from .errors import PackError
from .manifest import SHARD_FORMAT, SHARD_VERSION, FileRecord, ShardRecord, shard_name
from .photos import Entry, Skipped, load
from .prepare import Ready, Recipe, prepare
from .statistics import PixelStatistics

_BLOCK = 4 << 20  # bytes copied at a time
_SUMMED = 1 << 20  # pixels up to which a mean image is of use


@dataclass(frozen=True)
class Job:
    """A shard to be made: which images, how, and where."""

    split: str
    number: int
    entries: list[Entry]
    recipe: Recipe
    raw: bool
    folder: Path  # for the shard
    progress: Path  # folder for its record

    @property
    def record_path(self) -> Path:
        """Where the record of the finished shard is kept until the pack is complete."""
        return self.progress / f"{self.split}-{self.number:05d}.json"


def make_shard(job: Job, after_image: Callable[[int], None]) -> ShardRecord:
    """The shard's record: of the shard that is there, if its checksum is right, else of a new one.

    after_image  is called with the number of images that have been dealt with since the last call; it may raise.
    Raises PackError: the disk is full, or raw images of several sizes.
    """
    if (kept := _finished(job)) is not None:
        after_image(len(job.entries))
        return kept
    try:
        record = _write(job, after_image)
        write_text(job.record_path, json.dumps(record.to_json()))
    except OSError as error:
        raise PackError(error.strerror or str(error)) from error
    return record


def _finished(job: Job) -> ShardRecord | None:
    try:
        record = ShardRecord.from_json(json.loads(job.record_path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if record.file and record.file.problem(job.folder) else record


def _write(job: Job, after_image: Callable[[int], None]) -> ShardRecord:
    path = job.folder / shard_name(job.split, job.number)
    with tempfile.TemporaryFile(dir=job.progress) as spool:  # without a name: nothing stays behind, whatever happens
        contents = _Contents(job, spool)
        for entry in job.entries:
            contents.add(prepare(load(entry), job.recipe))
            after_image(1)
        if contents.labels:
            with hdf5_stream(path) as stream, h5py.File(stream, "w") as file:
                contents.store(file)
    return contents.record(FileRecord.of(path) if contents.labels else None)


class _Contents:
    """What a shard holds: labels and sums in memory, the images' bytes in `spool`."""

    def __init__(self, job: Job, spool: IO[bytes]):
        self._job = job
        self._spool = spool
        self._shape: tuple[int, int, int] | None = None
        self._sums: np.ndarray | None = None
        self._one_size = self._grey = True
        self._statistics = PixelStatistics()
        self._skipped: list[Skipped] = []
        self._files: list[str] = []
        self._ends = [0]
        self.labels: list[int] = []

    def add(self, item: Ready | Skipped) -> None:
        if isinstance(item, Skipped):
            self._skipped.append(item)
            return
        self._watch_size(item)
        self._grey = self._grey and bool((item.pixels == item.pixels[..., :1]).all())
        if self._job.split == "train":
            self._statistics.add(item.pixels)
            if self._sums is not None:
                self._sums += item.pixels
        self.labels.append(item.photo.label)
        self._files.append(item.photo.file)
        data = item.encoded if not self._job.raw and item.encoded is not None else item.pixels.tobytes()
        self._spool.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def _watch_size(self, item: Ready) -> None:
        height, width, channels = item.pixels.shape
        shape = (height, width, channels)
        if self._shape is None:
            self._shape = shape
            if self._job.split == "train" and height * width <= _SUMMED:
                self._sums = np.zeros(shape, np.uint32)  # enough for 16 million images
        elif shape != self._shape:
            if self._job.raw:
                raise PackError(f"{item.photo.file} is {shape}, but the images before it {self._shape}; store "
                                "images of several sizes encoded, or as crops of one size (--crop)")
            self._one_size, self._sums = False, None

    def store(self, file: h5py.File) -> None:
        file.attrs.update({"format": SHARD_FORMAT, "version": SHARD_VERSION, "split": self._job.split,
                           "number": self._job.number})
        file.create_dataset("labels", data=np.array(self.labels, np.int64))
        layout.write_strings(file, "files", self._files)
        if self._sums is not None:
            file.create_dataset("sums", data=self._sums, compression="gzip", compression_opts=1)
        if self._job.raw:
            assert self._shape is not None
            images = file.create_dataset("images", (len(self.labels), *self._shape), np.uint8)
            self._copy(images, int(np.prod(self._shape)))
        else:
            file.create_dataset("offsets", data=np.array(self._ends, np.uint64))
            self._copy(file.create_dataset("encoded", (self._ends[-1],), np.uint8), 1)

    def _copy(self, target: h5py.Dataset, row: int) -> None:
        at = 0
        for block in _blocks(self._spool, max(1, _BLOCK // row) * row):
            rows = np.frombuffer(block, np.uint8).reshape(-1, *target.shape[1:])
            target[at : at + len(rows)] = rows
            at += len(rows)

    def record(self, file: FileRecord | None) -> ShardRecord:
        return ShardRecord(self._job.split, self._job.number, len(self.labels), file,
                           self._shape if self._one_size else None, self._grey, self._statistics, self._skipped)


def _blocks(spool: IO[bytes], size: int) -> Iterator[bytes]:
    spool.seek(0)
    while block := spool.read(size):
        yield block


def shard_problem(file: Any, split: str, number: int) -> str:
    """What is wrong with an open shard's head, or ""."""
    found = [layout.text(file.attrs.get(name)) for name in ("format", "version", "split", "number")]
    expected = [SHARD_FORMAT, str(SHARD_VERSION), split, str(number)]
    return "" if found == expected else f"its head says {found}, not {expected}"
