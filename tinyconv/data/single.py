"""Reading a pack of one HDF5 file, layout version 1."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from . import layout
from .errors import PackError

IN_MEMORY = 512 << 20  # bytes up to which a split is read once, as a whole


class SingleFile:
    """What `Pack` shows, from one file; see `layout.py`. Raises PackError: no file, or not a good one."""

    mean_image: np.ndarray | None = None  # this layout has none

    def __init__(self, path: Path):
        self.path = path
        self._file = _open(path)
        try:
            layout.check(self._file)
        except BaseException:
            self._file.close()
            raise
        self.splits = layout.splits(self._file)
        self.classes = layout.read_strings(self._file, "classes")
        self.wnids = layout.read_strings(self._file, "wnids")
        self.provenance, self.licence, self.fingerprint = (
            str(self._file.attrs[name]) for name in ("provenance", "licence", "fingerprint"))
        self.mean, self.std, self.eigenvalues, self.eigenvectors = (
            self._file[name][...] for name in ("mean", "std", "pca/eigenvalues", "pca/eigenvectors"))
        groups = [self._file[name] for name in self.splits]
        self.grey = all("images" in group and group["images"].ndim == 3 for group in groups)

    @cached_property
    def skipped(self) -> list[tuple[str, str]]:
        """(file, reason) of every image of the source that is not in the pack."""
        files, reasons = (layout.read_strings(self._file["skipped"], name) for name in ("file", "reason"))
        return list(zip(files, reasons, strict=True))

    def images(self, split: str, in_memory: bool) -> SingleImages:
        """The images of a split, see `SingleImages`. Raises PackError: the file is damaged."""
        try:
            return SingleImages(self._file[split], in_memory)
        except layout.DAMAGE as error:
            raise PackError(f"{self.path} is a damaged pack: {error}; pack the source again") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class SingleImages:
    """The stored images of a split. Threads may share it: h5py itself takes one after the other.

    in_memory  a split of at most 512 MiB is read as a whole. Pixels always are, if they fit: they are compressed, and
               one image costs as much as a block of them. Without, files are read one by one, for processes that
               share the system's copy of the file.
    """

    def __init__(self, group: h5py.Group, in_memory: bool):
        self._group = group
        self.labels: np.ndarray = group["labels"][...].astype(np.int64)
        raw = "images" in group
        stored = group["images" if raw else "encoded"]
        self._data = stored[...] if (in_memory or raw) and stored.nbytes <= IN_MEMORY else stored
        self._offsets = None if raw else group["offsets"][...]

    def encoded(self, index: int) -> bytes | None:
        """The file of an image; None where pixels are stored."""
        if self._offsets is None:
            return None
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        return self._data[start:end].tobytes()

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 where pixels are stored."""
        pixels = self._data[index]
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)

    def file(self, index: int) -> str:
        """The image's name in the source."""
        return self._files[index]

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
