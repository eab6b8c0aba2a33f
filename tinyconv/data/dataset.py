"""Reading a pack."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from .decode import decode
from .errors import DecodeError, PackError
from .manifest import MANIFEST, part_of
from .sharded import Sharded, ShardedImages
from .single import SingleFile, SingleImages


class ImageSplit(Protocol):
    """Labelled images, by number: what the loader needs. `Split` and `SyntheticSplit` are such."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, which the caller must not change."""
        ...

    def name(self, index: int) -> str:
        """What to call the image in an error message."""
        ...


class Pack:
    """A pack, opened for reading: a folder of shards (see `manifest.py`), or one file (see `layout.py`).

    path          where it is
    classes       the name of every class; a label is an index into it
    wnids         WordNet identifiers of the classes, or []
    splits        the names of the splits: "train", and "val" and "test" where there are such
    mean, std     (3,) float64: of red, green, blue over the training pixels, 0..255
    mean_image    (H, W, 3) float64, 0..255: of the training images, if they have one size and lie in shards; else None
    eigenvalues   (3,) float64, descending: of the covariance of the training pixels scaled to 0..1
    eigenvectors  (3, 3) float64: column j belongs to eigenvalue j
    grey          every image has three equal channels (one file: they are stored as one channel)
    skipped       (file, reason) of every image of the source that is not in the pack
    provenance, licence   where the images come from, and under which terms
    fingerprint   of the source's files when they were packed, or ""
    contents      the reader of this layout, for who must know it: `Sharded` or `SingleFile`

    Raises PackError: no file, no pack, of another version, truncated, or with labels out of range.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.contents = found = _open(self.path)
        self.classes: list[str] = found.classes
        self.wnids: list[str] = found.wnids
        self.splits: list[str] = found.splits
        self.provenance: str = found.provenance
        self.licence: str = found.licence
        self.fingerprint: str = found.fingerprint
        self.grey: bool = found.grey
        self.mean: np.ndarray = found.mean
        self.std: np.ndarray = found.std
        self.eigenvalues: np.ndarray = found.eigenvalues
        self.eigenvectors: np.ndarray = found.eigenvectors
        self._splits: dict[str, Split] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        images = ", ".join(f"{len(self.split(name)):,} {name}" for name in self.splits)
        return f"Pack({str(self.path)!r}: {images} images of {len(self.classes)} classes)"

    def close(self) -> None:
        """Let go of the file. Splits of one file that are too large for memory can no longer be read."""
        self.contents.close()

    @property
    def mean_image(self) -> np.ndarray | None:
        """See above; read when it is first asked for."""
        return self.contents.mean_image

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """See above."""
        return self.contents.skipped

    def split(self, name: str) -> Split:
        """The split called `name`. Raises PackError: the pack has no such split, or is damaged."""
        with self._lock:
            if name not in self._splits:
                self._splits[name] = self._read(name, in_memory=True)
            return self._splits[name]

    def _read(self, name: str, in_memory: bool) -> Split:
        if name not in self.splits:
            raise PackError(f"{self.path} has no {name!r} split; it has {', '.join(self.splits)}")
        return Split(self.contents.images(name, in_memory), self.path, name)


class Split:
    """The images of a split, by number. Threads may share it. Processes may be sent it: they open the files again."""

    def __init__(self, images: SingleImages | ShardedImages, path: Path, split: str):
        self._images = images
        self._path, self._split = path, split
        self._title = f"{path.name}/{split}"
        self.labels: np.ndarray = images.labels
        self.labels.flags.writeable = False  # shared by all who ask

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[object, ...]:
        return _open_split, (self._path.absolute(), self._split)

    def encoded(self, index: int) -> bytes | None:
        """The JPEG or PNG file of image `index` as it is stored; None where pixels are. Raises IndexError."""
        self._check(index)
        return self._images.encoded(index)

    def image(self, index: int) -> np.ndarray:
        """Image `index`: (H, W, 3) uint8, which the caller must not change.

        Raises IndexError: no such image. DecodeError: its bytes are damaged.
        """
        if (data := self.encoded(index)) is None:
            return self._images.pixels(index)
        try:
            return decode(data)
        except DecodeError as error:
            raise DecodeError(f"{self.name(index)}: {error}") from error

    def name(self, index: int) -> str:
        """The image's file name in the source."""
        return f"{self._title}: {self._images.file(index)}"

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._title} has images 0..{len(self) - 1}; {index} is not one of them")


def _open_split(path: Path, name: str) -> Split:
    """A split in another process: image files stay on the disk, of which the system keeps one copy for all."""
    return Pack(path)._read(name, in_memory=False)


def _open(path: Path) -> SingleFile | Sharded:
    if (path / MANIFEST).is_file():
        return Sharded(path)
    if not path.exists() and part_of(path).is_dir():
        raise PackError(f"{path} is not finished; run the command that packs it once more, and it goes on")
    return SingleFile(path)
