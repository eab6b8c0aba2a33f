"""The sharded pack: a folder NAME.pack of shards, an index and a manifest. Layout version 2.

    manifest.json      what the pack is: classes, statistics, options, skipped images, and size and SHA-256 of every
                       other file, and of what it says itself
    train-00000.h5 ... a shard: some images of a split (val-00000.h5 ..., test-00000.h5 ... likewise)
        attributes     format = "tinyconv-shard", version = 1, split, number
        labels  (n,)   int64
        files   (n,)   UTF-8: each image's name in the source
        encoded (B,)   uint8: JPEG and PNG files one after another; offsets (n+1,) uint64: image i is
                       encoded[offsets[i] : offsets[i+1]]
        or images (n, H, W, 3)  uint8: pixels
        sums (H, W, 3) uint32: sum of the images, in shards of "train" whose images have one size
    index.h5           where each image lies, so that one can be read without opening its shard as HDF5
        <split>/labels (N,) int64;  files (N,) UTF-8;  shards (s+1,) int64: shard k holds the images shards[k] to
                       shards[k+1] - 1;  starts (N,) uint64: first byte in the shard's file;  sizes (N,) uint32
    mean-image.npy     (H, W, 3) float64, where all training images have one size: their mean, 0..255

Nothing depends on the time, the machine's speed, the number of workers, or whether packing was interrupted: the same
source and options (and the same version of Pillow) give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..safefile import write_text
from .errors import PackError
from .photos import Skipped
from .statistics import PixelStatistics

FORMAT = "tinyconv-pack"
VERSION = 2
SHARD_FORMAT = "tinyconv-shard"
SHARD_VERSION = 1
MANIFEST = "manifest.json"
INDEX = "index.h5"
MEAN_IMAGE = "mean-image.npy"


@dataclass(frozen=True)
class FileRecord:
    """A file of the pack: its name, its size in bytes, its SHA-256."""

    file: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """The record of a file. Raises OSError."""
        with open(path, "rb") as file:
            digest = _sha256(file)
            return cls(path.name, file.tell(), digest)

    def problem(self, folder: Path) -> str:
        """What is wrong with the file in `folder`, or "": reads all of it."""
        try:
            found = FileRecord.of(folder / self.file)
        except OSError as error:
            return f"{self.file} cannot be read: {error.strerror or error}"
        if found.bytes != self.bytes:
            return f"{self.file} has {found.bytes:,} bytes, not {self.bytes:,}"
        return "" if found == self else f"{self.file} has another SHA-256 than when it was made: bytes changed"


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a shard once it is made. A shard of which every image was skipped has no file."""

    split: str
    number: int
    images: int
    file: FileRecord | None
    shape: tuple[int, int, int] | None  # of its images, if all have one size
    grey: bool  # all images have three equal channels
    statistics: PixelStatistics  # of its images, which must be training images
    skipped: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a JSON file."""
        return {"split": self.split, "number": self.number, "images": self.images,
                "file": asdict(self.file) if self.file else None, "shape": self.shape, "grey": self.grey,
                "statistics": self.statistics.to_json(), "skipped": [[item.file, item.reason] for item in self.skipped]}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> ShardRecord:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError: it is something else."""
        height, width, channels = found["shape"] or (0, 0, 0)
        return cls(found["split"], int(found["number"]), int(found["images"]),
                   FileRecord(**found["file"]) if found["file"] else None,
                   (height, width, channels) if found["shape"] else None, bool(found["grey"]),
                   PixelStatistics.from_json(found["statistics"]), [Skipped(*item) for item in found["skipped"]])


def part_of(pack: Path) -> Path:
    """Where the pack is built; the folder is there as long as that has begun and not ended."""
    return pack.with_name(f".{pack.name}.part")


def shard_name(split: str, number: int) -> str:
    """Shards sort by name up to 100,000 a split, and have unique names beyond."""
    return f"{split}-{number:05d}.h5"


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """The manifest as a file that a person can read. Raises OSError, see `safefile.temporary_beside`."""
    write_text(path, json.dumps({**manifest, "sha256": _digest(manifest)}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the pack in `folder`. Raises PackError: there is none, or of another version."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PackError(f"{path} cannot be read: {error.strerror or error}; pack the source again") from error
    except ValueError as error:
        raise PackError(f"{path} is damaged: {error}; pack the source again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise PackError(f"{path} is not the manifest of a pack; make one: "
                        "python -m tinyconv.data.pack SOURCE NAME.pack")
    if found.get("version") != VERSION:
        raise PackError(f"{folder} has pack layout {found.get('version')}, but this tinyconv reads {VERSION} as a "
                        "folder; pack the source again, or use the tinyconv that made it")
    if found.pop("sha256", None) != _digest(found):
        raise PackError(f"{path} is damaged: it has another SHA-256 than when it was made; pack the source again")
    return found


def statistics_json(statistics: PixelStatistics) -> dict[str, Any]:
    """The exact sums and what follows from them, as it stands in the manifest."""
    values, vectors = statistics.principal_components()
    return {"sums": statistics.to_json(), "mean": statistics.mean.tolist(), "std": statistics.std.tolist(),
            "eigenvalues": values.tolist(), "eigenvectors": vectors.tolist()}


def records(manifest: dict[str, Any], split: str) -> list[ShardRecord]:
    """The shards of a split that have images. Raises KeyError, TypeError or ValueError: the manifest is damaged."""
    return [ShardRecord.from_json(found) for found in manifest["splits"][split]["shards"]]


def all_files(manifest: dict[str, Any]) -> list[FileRecord]:
    """Every file of the pack but the manifest itself."""
    shards = [record.file for split in manifest["splits"] for record in records(manifest, split) if record.file]
    others = [FileRecord(**found) for found in (manifest["index"], manifest["mean_image"]) if found]
    return shards + others


def _digest(manifest: dict[str, Any]) -> str:
    """Of all that the manifest says."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
