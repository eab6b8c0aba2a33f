"""Reading a pack."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from . import layout
from .decode import decode
from .errors import DecodeError, PackError

_IN_MEMORY = 512 << 20  # bytes up to which a split is read once, as a whole


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
    """A pack, opened for reading; `layout.py` says what is in one.

    Raises PackError: no file, no pack, of another version, truncated, or with labels out of range.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            layout.check(self._file)
        except BaseException:
            self._file.close()
            raise
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
        """Let go of the file. Splits too large for memory can no longer be read."""
        self._file.close()

    @cached_property
    def classes(self) -> list[str]:
        """The name of every class; a label is an index into it."""
        return layout.read_strings(self._file, "classes")

    @cached_property
    def wnids(self) -> list[str]:
        """WordNet identifiers of the classes, or []."""
        return layout.read_strings(self._file, "wnids")

    @cached_property
    def mean(self) -> np.ndarray:
        """(3,) float64: mean red, green, blue of the training pixels, 0..255."""
        return self._file["mean"][...]

    @cached_property
    def std(self) -> np.ndarray:
        """(3,) float64: standard deviation of the training pixels, 0..255."""
        return self._file["std"][...]

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """(3,) float64, descending: of the covariance of the training pixels scaled to 0..1."""
        return self._file["pca/eigenvalues"][...]

    @cached_property
    def eigenvectors(self) -> np.ndarray:
        """(3, 3) float64: column j belongs to eigenvalue j."""
        return self._file["pca/eigenvectors"][...]

    @cached_property
    def provenance(self) -> str:
        """Where the images come from."""
        return str(self._file.attrs["provenance"])

    @cached_property
    def licence(self) -> str:
        """Under which terms."""
        return str(self._file.attrs["licence"])

    @cached_property
    def fingerprint(self) -> str:
        """Of the source's files when they were packed, or ""."""
        return str(self._file.attrs["fingerprint"])

    @cached_property
    def skipped(self) -> list[tuple[str, str]]:
        """(file, reason) of every image of the source that is not in the pack."""
        group = self._file["skipped"]
        files, reasons = (layout.read_strings(group, name) for name in ("file", "reason"))
        return list(zip(files, reasons, strict=True))

    @cached_property
    def splits(self) -> list[str]:
        """The names of the splits: "train", and "val" and "test" where there are such."""
        return layout.splits(self._file)

    @cached_property
    def grey(self) -> bool:
        """Whether the stored images have one channel. `Split.image` gives three equal ones."""
        groups = [self._file[name] for name in self.splits]
        return all("images" in group and group["images"].ndim == 3 for group in groups)

    def split(self, name: str) -> Split:
        """The split called `name`. Raises PackError: the pack has no such split."""
        with self._lock:
            if name not in self._splits:
                if name not in self.splits:
                    raise PackError(f"{self.path} has no {name!r} split; it has {', '.join(self.splits)}")
                self._splits[name] = self._read_split(name)
            return self._splits[name]

    def _read_split(self, name: str) -> Split:
        try:
            return Split(self._file[name], f"{self.path.name}/{name}")
        except layout.DAMAGE as error:
            raise PackError(f"{self.path} is a damaged pack: {error}; pack the source again") from error


class Split:
    """The images of a split, by number. Threads may share it: h5py itself takes one after the other."""

    def __init__(self, group: h5py.Group, title: str):
        self._group = group
        self._title = title
        self.labels: np.ndarray = group["labels"][...].astype(np.int64)
        self.labels.flags.writeable = False  # shared by all who ask
        self._raw = "images" in group
        stored = group["images" if self._raw else "encoded"]
        self._data = stored[...] if stored.nbytes <= _IN_MEMORY else stored
        self._offsets = None if self._raw else group["offsets"][...]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """Image `index`: (H, W, 3) uint8, which the caller must not change.

        Raises IndexError: no such image. DecodeError: its bytes are damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self._title} has images 0..{len(self) - 1}; {index} is not one of them")
        if self._offsets is None:
            pixels = self._data[index]
            return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        try:
            return decode(self._data[start:end].tobytes())
        except DecodeError as error:
            raise DecodeError(f"{self.name(index)}: {error}") from error

    def name(self, index: int) -> str:
        """The image's file name in the source."""
        return f"{self._title}: {self._files[index]}"

    @cached_property
    def _files(self) -> list[str]:
        return layout.read_strings(self._group, "files")


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        kind = "is a folder, not a pack" if path.is_dir() else "does not exist"
        raise PackError(f"{path} {kind}; make a pack: python -m tinyconv.data.pack SOURCE OUT.h5")
    try:
        # No chunk cache: images come in random order, and without it HDF5 reads only the bytes asked for.
        return h5py.File(path, "r", rdcc_nbytes=0)
    except OSError as error:
        if "truncated file" in str(error):
            raise PackError(f"{path} is truncated: its end is missing; copy or pack it again") from error
        if isinstance(error, PermissionError):
            raise PackError(f"{path} cannot be read: permission denied; check its owner and mode") from error
        raise PackError(f"{path} is no HDF5 file, or a damaged one ({error}); "
                        "make a pack: python -m tinyconv.data.pack SOURCE OUT.h5") from error
