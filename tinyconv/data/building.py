"""Builds a sharded pack in a folder beside it, shard by shard, so that an interrupted build goes on where it was.

    .NAME.pack.part/plan.json      what is built: the source's fingerprint and the options
    .NAME.pack.part/progress/      the record of every finished shard
    .NAME.pack.part/pack/          the pack, as far as it has come; in the end it is renamed
    .NAME.pack.old                 the pack that was there before, for the moment between two renames
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from ..safefile import hdf5_stream, make_folder, only_user_of, sync_folder, temporary_beside, write_text
from . import layout
from .crew import in_order, wait_for_crew
from .errors import PackError
from .manifest import (
    FORMAT,
    INDEX,
    MANIFEST,
    MEAN_IMAGE,
    VERSION,
    FileRecord,
    ShardRecord,
    all_files,
    part_of,
    read_manifest,
    statistics_json,
    write_manifest,
)
from .photos import Entry, Skipped, Source
from .prepare import Recipe
from .shards import Job, make_shard
from .statistics import PixelStatistics


@dataclass(frozen=True)
class Plan:
    """What is built; the same plan gives the same bytes."""

    source: Source
    fingerprint: str
    recipe: Recipe
    raw: bool
    shard_images: int | None  # a shard is full when it has either
    shard_bytes: int | None  # bytes of the source's files; of the pixels, where they are crops

    def to_json(self) -> dict[str, Any]:
        """As the manifest tells it."""
        import PIL

        return {**asdict(self.recipe), "raw": self.raw, "shard_images": self.shard_images,
                "shard_bytes": self.shard_bytes, "pillow": PIL.__version__}


def build(out: Path, plan: Plan, workers: int, progress: bool) -> dict[str, Any]:
    """Make the pack `out`, or go on making it, and return its manifest.

    Raises PackError: no readable training image, disk full, another process is at it, `out` is something else.
    """
    part = part_of(out)
    if out.exists() and not (out / MANIFEST).is_file():
        raise PackError(f"{out} exists and is no pack; choose another name, or remove it")
    try:
        make_folder(part)
        with only_user_of(part):
            _restore(out)
            if (manifest := _same_and_whole(out, plan, progress)) is None:
                _begin(part, plan)
                records, skipped = _make_shards(part, plan, workers, progress)
                manifest = _finish(part / "pack", plan, records, skipped)
                _put_in_place(part / "pack", out)
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise PackError(error.strerror or str(error)) from error
    return manifest


def _restore(out: Path) -> None:
    """Undo the first of two renames, if the second did not come."""
    old = out.with_name(f".{out.name}.old")
    if old.is_dir() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _same_and_whole(out: Path, plan: Plan, progress: bool) -> dict[str, Any] | None:
    """The manifest of the pack that is there already, if this plan would make it again."""
    if not out.exists():
        return None
    try:
        found = read_manifest(out)
        if found["fingerprint"] != plan.fingerprint or found["options"] != plan.to_json():
            return None
        files = all_files(found)
    except (PackError, KeyError, TypeError, ValueError):
        return None
    with tqdm(files, "verifying", unit=" files", disable=not progress) as bar:
        return None if any(record.problem(out) for record in bar) else found


def _begin(part: Path, plan: Plan) -> None:
    """Folders for this plan; what another plan left in them is removed."""
    wanted = json.dumps({"fingerprint": plan.fingerprint, **plan.to_json()}, indent=1)
    path = part / "plan.json"
    for folder in (part / "pack", part / "progress"):
        make_folder(folder)
    wait_for_crew(part / "pack")
    if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
        for folder in (part / "pack", part / "progress"):
            shutil.rmtree(folder)
            make_folder(folder)
        write_text(path, wanted)


def _make_shards(part: Path, plan: Plan, workers: int, progress: bool) -> tuple[list[ShardRecord], list[Skipped]]:
    skipped: list[Skipped] = []
    jobs = _jobs(part, plan, skipped)
    with tqdm(None, "packing", plan.source.total, unit=" images", unit_scale=True, disable=not progress) as bar:
        records = list(in_order(make_shard, jobs, workers, bar.update, part / "pack"))
    if not any(record.images for record in records if record.split == "train"):
        for record in records:
            skipped += record.skipped
        first = f"; the first of {len(skipped)} problems: {skipped[0].file}: {skipped[0].reason}" if skipped else ""
        raise PackError(f"the source has no readable training image{first}")
    return sorted(records, key=lambda record: (layout.SPLITS.index(record.split), record.number)), skipped


@dataclass
class _Group:
    """The entries of the next shard of a split."""

    number: int = 0
    bytes: int = 0
    entries: list[Entry] = field(default_factory=list)


def _jobs(part: Path, plan: Plan, skipped: list[Skipped]) -> Iterator[Job]:
    """The shards, in the order in which they fill up. What the source itself leaves out goes into `skipped`."""
    groups = {split: _Group() for split in layout.SPLITS}

    def job(split: str, group: _Group) -> Job:
        return Job(split, group.number, group.entries, plan.recipe, plan.raw, part / "pack", part / "progress")

    for entry in plan.source.entries():
        if isinstance(entry, Skipped):
            skipped.append(entry)
            continue
        group, size = groups[entry.split], _size(entry, plan.recipe)
        if _full(group, size, plan):
            yield job(entry.split, group)
            groups[entry.split] = group = _Group(group.number + 1)
        group.entries.append(entry)
        group.bytes += size
    yield from (job(split, group) for split, group in groups.items() if group.entries)


def _size(entry: Entry, recipe: Recipe) -> int:
    if recipe.crop:
        return 3 * recipe.crop**2
    if entry.place.size is not None:
        return entry.place.size
    try:
        return entry.place.path.stat().st_size
    except OSError:  # will be skipped, with this as its reason
        return 0


def _full(group: _Group, size: int, plan: Plan) -> bool:
    """Whether one more image does not go into the shard; the first always does."""
    many = plan.shard_images is not None and len(group.entries) >= plan.shard_images
    large = plan.shard_bytes is not None and group.bytes + size > plan.shard_bytes
    return bool(group.entries) and (many or large)


def _finish(pack: Path, plan: Plan, records: list[ShardRecord], skipped: list[Skipped]) -> dict[str, Any]:
    """Write what is known only at the end; the manifest is returned."""
    with_images = [record for record in records if record.images]
    splits = [split for split in layout.SPLITS if any(record.split == split for record in with_images)]
    if plan.raw:
        _check_one_size(with_images)
    statistics = PixelStatistics()
    for record in with_images:
        statistics.merge(record.statistics)
    shards = {split: [record for record in with_images if record.split == split] for split in splits}
    every = [*skipped, *(item for record in records for item in record.skipped)]
    manifest = {
        "format": FORMAT, "version": VERSION, "created_by": "tinyconv.data",
        "provenance": plan.source.provenance + plan.recipe.provenance, "licence": plan.source.licence,
        "fingerprint": plan.fingerprint, "options": plan.to_json(),
        "images": {split: sum(record.images for record in shards[split]) for split in splits},
        "grey": all(record.grey for record in with_images), "statistics": statistics_json(statistics),
        "mean_image": _write_mean_image(pack, shards["train"]), "index": _write_index(pack, shards),
        "classes": plan.source.classes, "wnids": plan.source.wnids,
        "skipped": [[item.file, item.reason] for item in every],
        "splits": {split: {"shards": [_without_skipped(record) for record in shards[split]]} for split in splits}}
    manifest = json.loads(json.dumps(manifest))  # as whoever reads it will see it
    write_manifest(pack / MANIFEST, manifest)
    expected = {MANIFEST, *(record.file for record in all_files(manifest))}
    for path in pack.iterdir():
        if path.name not in expected:  # a killed process was writing it
            path.unlink()
    return manifest


def _without_skipped(record: ShardRecord) -> dict[str, Any]:
    """The manifest lists what is skipped once, for all."""
    return {**record.to_json(), "skipped": []}


def _check_one_size(records: list[ShardRecord]) -> None:
    shapes: dict[Any, str] = {record.shape: record.file.file for record in records if record.file}
    if len(shapes) > 1:
        (one, first), (other, second), *_ = shapes.items()
        raise PackError(f"{second} has images of {other}, but {first} of {one}; store images of several sizes "
                        "encoded, or as crops of one size (--crop)")


def _write_mean_image(pack: Path, shards: list[ShardRecord]) -> dict[str, Any] | None:
    shape = shards[0].shape
    total = np.zeros(1, np.int64)
    if shape is None or any(record.shape != shape for record in shards):
        return None
    for file in _opened(pack, shards):
        if "sums" not in file:  # images too large for a mean to be of use
            return None
        total = total + file["sums"][...]
    path = pack / MEAN_IMAGE
    with temporary_beside(path) as temporary, open(temporary, "wb") as target:
        np.save(target, total / sum(record.images for record in shards))
    return asdict(FileRecord.of(path))


def _write_index(pack: Path, shards: dict[str, list[ShardRecord]]) -> dict[str, Any]:
    with hdf5_stream(pack / INDEX) as stream, h5py.File(stream, "w") as index:
        for split, of_split in shards.items():
            _index_split(index.create_group(split), pack, of_split)
    return asdict(FileRecord.of(pack / INDEX))


def _index_split(group: h5py.Group, pack: Path, shards: list[ShardRecord]) -> None:
    """Fill in one shard after the other: only one's labels and names are in memory."""
    firsts = np.cumsum([0, *(record.images for record in shards)])
    count = int(firsts[-1])
    longest = max(file["files"].dtype.itemsize for file in _opened(pack, shards))
    names = group.create_dataset("files", (count,), h5py.string_dtype("utf-8", longest), chunks=(min(count, 4096),),
                                 compression="gzip")
    labels = group.create_dataset("labels", (count,), np.int64)
    starts, sizes = (group.create_dataset(name, (count,), kind)
                     for name, kind in (("starts", np.uint64), ("sizes", np.uint32)))
    group.create_dataset("shards", data=firsts.astype(np.int64))
    for file, first, end in zip(_opened(pack, shards), firsts[:-1], firsts[1:], strict=True):
        names[first:end] = file["files"][...]
        labels[first:end] = file["labels"][...]
        starts[first:end], sizes[first:end] = places(file)


def _opened(pack: Path, shards: list[ShardRecord]) -> Iterator[h5py.File]:
    """The shards, one after the other, each open until the next is asked for."""
    for record in shards:
        assert record.file is not None
        with h5py.File(pack / record.file.file, "r") as file:
            yield file


def places(shard: h5py.File) -> tuple[np.ndarray, np.ndarray]:
    """Where each image of an open shard begins in its file, and how many bytes it has."""
    count = len(shard["labels"])
    if "images" in shard:
        images = shard["images"]
        size = int(np.prod(images.shape[1:]))
        ends = np.arange(count + 1, dtype=np.int64) * size
        data = images
    else:
        data, ends = shard["encoded"], shard["offsets"][...].astype(np.int64)
    return data.id.get_offset() + ends[:-1], np.diff(ends)


def _put_in_place(pack: Path, out: Path) -> None:
    """Rename the finished pack; one that was there before gives way in the last moment."""
    old = out.with_name(f".{out.name}.old")
    if out.exists():
        out.rename(old)
    pack.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
