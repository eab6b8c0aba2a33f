"""Writes a pack, image by image, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from ..safefile import PatientFile, hdf5_stream
from . import layout
from .errors import PackError
from .photos import Skipped
from .statistics import PixelStatistics

_BUFFER = 4 << 20  # bytes collected before HDF5 is called: a call costs as much as copying many kilobytes
_CHUNK = 256 << 10  # bytes in an HDF5 chunk, the unit of allocation and compression


@contextmanager
def write_pack(path: Path, *, classes: Sequence[str], provenance: str, licence: str,
               wnids: Sequence[str] = (), fingerprint: str = "") -> Iterator[PackWriter]:
    """A `PackWriter` for a new pack at `path`, which appears when the block ends without an error.

    An error leaves what was at `path` before. Raises PackError: disk full, folder missing or not writable.
    """
    attributes = {"format": layout.FORMAT, "version": layout.VERSION, "created_by": "tinyconv.data",
                  "provenance": provenance, "licence": licence, "fingerprint": fingerprint}
    try:
        with hdf5_stream(path) as stream, h5py.File(stream, "w") as file:
            file.attrs.update(attributes)
            layout.write_strings(file, "classes", classes)
            layout.write_strings(file, "wnids", wnids)
            writer = PackWriter(file, stream, len(classes))
            yield writer
            writer.finish()
    except OSError as error:
        raise PackError(error.strerror or str(error)) from error


class PackWriter:
    """Takes images one at a time; made by `write_pack`."""

    def __init__(self, file: h5py.File, stream: PatientFile, classes: int):
        self._file = file
        self._stream = stream
        self._classes = classes
        self._splits: dict[str, _SplitWriter] = {}
        self._statistics = PixelStatistics()
        self.skipped: list[Skipped] = []

    @property
    def images(self) -> dict[str, int]:
        """How many images each split has so far."""
        return {name: len(split.labels) for name, split in self._splits.items()}

    def add(self, split: str, label: int, file: str, pixels: np.ndarray,
            encoded: bytes | None = None) -> None:
        """Append an image: its `encoded` bytes where given, else its pixels, (H, W) or (H, W, 3) uint8.

        With `encoded`, `pixels` are what the bytes decode to, for the statistics. Within a split all images
        are stored the same way. Raises PackError: label out of range, pixels of another shape, disk full.
        """
        if not 0 <= label < self._classes:
            raise PackError(f"{file}: label {label} is not one of the classes 0..{self._classes - 1}")
        if split == "train":
            self._statistics.add(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
        if split not in self._splits:
            group = self._file.create_group(split)
            self._splits[split] = _RawSplit(group, pixels.shape) if encoded is None else _EncodedSplit(group)
        self._splits[split].add(label, file, pixels if encoded is None else np.frombuffer(encoded, np.uint8))
        self._stream.check()

    def skip(self, skipped: Skipped) -> None:
        """Note a file of the source that is not packed."""
        self.skipped.append(skipped)

    def finish(self) -> None:
        """Write what is known only at the end. Raises PackError: no training images."""
        if not self._statistics.count:
            first = ""
            if self.skipped:
                first = f"; the first of {len(self.skipped)} problems: {self.skipped[0].file}: {self.skipped[0].reason}"
            raise PackError(f"the source has no readable training image{first}")
        for split in self._splits.values():
            split.finish()
        values, vectors = self._statistics.principal_components()
        arrays = {"mean": self._statistics.mean, "std": self._statistics.std,
                  "pca/eigenvalues": values, "pca/eigenvectors": vectors}
        for name, array in arrays.items():
            self._file.create_dataset(name, data=array)
        skipped = self._file.create_group("skipped")
        layout.write_strings(skipped, "file", [item.file for item in self.skipped])
        layout.write_strings(skipped, "reason", [item.reason for item in self.skipped])
        self._stream.check()


class _SplitWriter:
    """Labels and names, which stay in memory, and blocks of image data, which do not."""

    data: h5py.Dataset

    def __init__(self, group: h5py.Group):
        self._group = group
        self._waiting: list[np.ndarray] = []
        self._waiting_bytes = 0
        self.labels: list[int] = []
        self._files: list[str] = []

    def add(self, label: int, file: str, block: np.ndarray) -> None:
        self.labels.append(label)
        self._files.append(file)
        self._waiting.append(block)
        self._waiting_bytes += block.nbytes
        if self._waiting_bytes >= _BUFFER:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._group.attrs["images"] = len(self.labels)
        self._group.create_dataset("labels", data=np.array(self.labels, dtype=np.int64))
        layout.write_strings(self._group, "files", self._files)

    def _flush(self) -> None:
        if not self._waiting:
            return
        block = np.concatenate(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        end = len(self.data)
        self.data.resize(end + len(block), axis=0)
        self.data[end:] = block


class _RawSplit(_SplitWriter):
    def __init__(self, group: h5py.Group, shape: tuple[int, ...]):
        super().__init__(group)
        rows = max(1, _CHUNK // int(np.prod(shape)))
        self.data = group.create_dataset("images", (0, *shape), np.uint8, maxshape=(None, *shape),
                                         chunks=(rows, *shape), compression="gzip", compression_opts=9)

    def add(self, label: int, file: str, block: np.ndarray) -> None:
        if block.shape != self.data.shape[1:]:
            raise PackError(f"{file} is {block.shape}, but the images before it {self.data.shape[1:]}; "
                            "store images of several sizes encoded, not raw")
        super().add(label, file, block[None])


class _EncodedSplit(_SplitWriter):
    def __init__(self, group: h5py.Group):
        super().__init__(group)
        self._lengths: list[int] = []
        self.data = group.create_dataset("encoded", (0,), np.uint8, maxshape=(None,), chunks=(_CHUNK,))

    def add(self, label: int, file: str, block: np.ndarray) -> None:
        self._lengths.append(len(block))
        super().add(label, file, block)

    def finish(self) -> None:
        super().finish()
        self._group.create_dataset("offsets", data=np.cumsum([0, *self._lengths], dtype=np.uint64))
