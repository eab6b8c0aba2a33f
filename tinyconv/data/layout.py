"""The pack: one HDF5 file that holds a labelled set of images. Layout version 1.

    /                        attributes: format = "tinyconv-pack", version = 1, created_by, provenance,
                             licence, fingerprint (tells whether the source changed; may be "")
    /classes        (K,)     UTF-8: the name of class 0, 1, ... K-1
    /wnids          (K,)     UTF-8: WordNet identifiers like n01440764; (0,) where the set has none
    /mean           (3,)     float64: mean red, green, blue of the training pixels, in 0..255
    /std            (3,)     float64: their standard deviation, in 0..255
    /pca/eigenvalues  (3,)   float64, descending: of the covariance of red, green, blue over the training
                             pixels, which are scaled to 0..1 first
    /pca/eigenvectors (3, 3) float64: column j belongs to eigenvalue j; its entry of largest magnitude is positive
    /skipped/file   (S,)     UTF-8: images of the source that are not in the pack
    /skipped/reason (S,)     UTF-8: why
    /<split>/                "train" always; "val" and "test" where the set has them. Attributes: images = N
        labels      (N,)     int64 in 0..K-1
        files       (N,)     UTF-8: each image's name in the source
      then either
        images      (N, H, W) or (N, H, W, 3)  uint8, gzip: pixels, grey or RGB
      or
        encoded     (B,)     uint8: JPEG and PNG files one after another
        offsets     (N+1,)   uint64: image i is encoded[offsets[i] : offsets[i+1]]

Why 0..1 for the eigenvalues: AlexNet's colour noise adds p_j * a_j * lambda_j with a ~ N(0, 0.1). Eigenvalues
grow with the square of the unit. In 0..1 units lambda_1 is about 0.2 and the noise a few grey levels; in
0..255 units lambda_1 would be about 13,000 and the noise a thousand grey levels.

Nothing in the file depends on the time or the machine: the same source gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from .errors import PackError

FORMAT = "tinyconv-pack"
VERSION = 1
SPLITS = ("train", "val", "test")
_STATISTICS = {"mean": (3,), "std": (3,), "pca/eigenvalues": (3,), "pca/eigenvectors": (3, 3)}


def write_strings(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Store text as fixed-length UTF-8, which compresses well and reads faster than variable-length text."""
    raw = [value.encode("utf-8", "backslashreplace") for value in values]  # file names may hold broken UTF-8
    kind = h5py.string_dtype("utf-8", max(map(len, raw), default=1) or 1)
    compression = {"compression": "gzip"} if raw else {}  # HDF5 cannot compress what is empty
    group.create_dataset(name, data=np.array(raw, dtype=kind), dtype=kind, **compression)


def read_strings(group: h5py.Group, name: str) -> list[str]:
    """The text that `write_strings` stored."""
    return list(group[name].asstr()[...])


class _BrokenRuleError(Exception):
    """A rule of the layout that the file breaks."""


# What h5py raises for parts that are missing, of another kind or corrupt
DAMAGE = (KeyError, AttributeError, TypeError, ValueError, OSError, RuntimeError, _BrokenRuleError)


def check(file: h5py.File) -> None:
    """Raise PackError unless `file` keeps to the layout: kinds, shapes, all labels and offsets in range."""
    if text(file.attrs.get("format")) != FORMAT:
        raise PackError(f"{file.filename} is an HDF5 file but no pack; "
                        "make one: python -m tinyconv.data.pack SOURCE OUT.h5")
    version = file.attrs.get("version")
    if version != VERSION:
        raise PackError(f"{file.filename} has pack layout {version}, but this tinyconv reads {VERSION}; "
                        "pack the source again, or use the tinyconv that made it")
    try:
        _check_root(file)
        for name in splits(file):
            _check_split(file[name], len(file["classes"]))
    except DAMAGE as error:
        raise PackError(f"{file.filename} is a damaged pack: {error}; pack the source again") from error


def splits(file: h5py.File) -> list[str]:
    """The splits in the file, in the order train, val, test."""
    return [name for name in SPLITS if name in file]


def text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise _BrokenRuleError(rule)


def _check_root(file: h5py.File) -> None:
    for name in ("provenance", "licence", "fingerprint"):
        _require(name in file.attrs, f"it has no attribute {name}")
    classes = len(file["classes"])
    _require(classes > 0, "/classes is empty")
    wnids = len(file["wnids"])
    _require(wnids in (0, classes), f"/wnids has {wnids} entries for {classes} classes")
    for name, shape in _STATISTICS.items():
        _require(file[name].shape == shape, f"/{name} has shape {file[name].shape}, not {shape}")
        values = file[name][...]
        finite = values.dtype.kind == "f" and bool(np.isfinite(values).all())
        _require(finite, f"/{name} holds {values.tolist()}")
    for name in ("classes", "wnids", "skipped/file", "skipped/reason"):
        read_strings(file, name)  # raises if they cannot be read
    _require(len(file["skipped/file"]) == len(file["skipped/reason"]), "/skipped lists differ in length")
    _require("train" in file, "it has no /train")


def _check_split(group: h5py.Group, classes: int) -> None:
    labels = group["labels"]
    filled = labels.ndim == 1 and len(labels) > 0
    _require(filled, f"{labels.name} has shape {labels.shape}, not (N,) with N > 0")
    _require(labels.dtype.kind in "iu", f"{labels.name} holds {labels.dtype} (NaN, perhaps), not integers")
    values = labels[...]
    wrong = np.flatnonzero((values < 0) | (values >= classes))
    if len(wrong):
        first = wrong[0]
        raise _BrokenRuleError(f"{labels.name}[{first}] is {values[first]}, not one of 0..{classes - 1}")
    _require(group["files"].shape == labels.shape, f"{group.name}: files and labels differ in length")
    if "images" in group:
        _check_images(group["images"], len(labels))
    else:
        _check_encoded(group["encoded"], group["offsets"], len(labels))


def _check_images(images: h5py.Dataset, count: int) -> None:
    _require(images.dtype == np.uint8, f"{images.name} holds {images.dtype}, not uint8")
    fits = (images.ndim in (3, 4) and len(images) == count and min(images.shape) > 0
            and images.shape[3:] in ((), (3,)))
    _require(fits, f"{images.name} has shape {images.shape}, not ({count}, H, W) or ({count}, H, W, 3)")


def _check_encoded(encoded: h5py.Dataset, offsets: h5py.Dataset, count: int) -> None:
    _require(encoded.dtype == np.uint8 and encoded.ndim == 1, f"{encoded.name} is not a row of bytes")
    _require(offsets.shape == (count + 1,), f"{offsets.name} has shape {offsets.shape}, not ({count + 1},)")
    _require(offsets.dtype.kind in "iu", f"{offsets.name} holds {offsets.dtype}, not integers")
    ends = offsets[...].astype(np.int64)
    _require(ends[0] == 0 and ends[-1] == len(encoded) and bool((np.diff(ends) > 0).all()),
             f"{offsets.name} does not divide the {len(encoded)} bytes of {encoded.name}")
