"""Verify a pack and show what is in it: a contact sheet, a PNG.

    python -m tinyconv.data.check PACK [--sheet PACK.png] [--workers N]

Checksums of all files; every image decodes; labels, names, counts and index agree; mean, standard deviation, principal
components and mean image are those of the images. A pack of one file (OUT.h5) has no checksums; all else is checked.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from ..commandline import Parser
from ..info import cores
from .building import places
from .crew import in_order
from .dataset import Pack, Split
from .decode import decode
from .errors import DecodeError, PackError
from .layout import DAMAGE, read_strings
from .manifest import INDEX, FileRecord, ShardRecord
from .sharded import Sharded
from .shards import shard_problem
from .statistics import PixelStatistics

_SHOWN = 20  # problems listed by the command
_TOLERANCE = 1e-9  # of eigenvalues and -vectors: another LAPACK may round another way


@dataclass(frozen=True)
class Verdict:
    """What `check` found: the images of each split, and all problems, each a line that names the file."""

    images: dict[str, int]
    problems: list[str]


@dataclass(frozen=True)
class _Task:
    """A shard to be looked at."""

    folder: Path
    record: ShardRecord
    first: int  # its first image's number in the split
    classes: int
    raw: bool


@dataclass(frozen=True)
class _Found:
    problems: list[str]
    statistics: PixelStatistics
    total: np.ndarray | None  # sum of the images, where the record says they have one size


def check(path: str | Path, *, workers: int | None = None, progress: bool = True) -> Verdict:
    """Look at everything in the pack. `workers` processes (default: one for each core; 0: this one) decode shards.

    Raises PackError: it cannot be opened at all.
    """
    with Pack(path) as pack:
        images = {split: len(pack.split(split)) for split in pack.splits}
        with tqdm(None, "checking", sum(images.values()), unit=" images", unit_scale=True,
                  disable=not progress) as bar:
            if isinstance(pack.contents, Sharded):
                problems = _check_shards(pack, pack.contents, cores() if workers is None else workers, bar.update)
            else:
                problems = _check_splits(pack, bar.update)
    return Verdict(images, problems)


def _check_shards(pack: Pack, contents: Sharded, workers: int, after: Callable[[int], object]) -> list[str]:
    problems = [problem for record in _other_files(contents) if (problem := record.problem(contents.path))]
    raw = bool(contents.manifest["options"]["raw"])
    tasks = _tasks(contents, raw)
    sums, total, count = PixelStatistics(), np.zeros(1, np.int64), 0
    shards = [record for split in contents.splits for record in contents.shards[split]]
    for record, found in zip(shards, in_order(_check_shard, tasks, workers, after, contents.path), strict=True):
        problems += found.problems
        if record.split == "train":
            sums.merge(found.statistics)
            if found.total is not None and contents.manifest["mean_image"]:
                total, count = total + found.total, count + record.images
    for split in contents.splits:
        images, listed = sum(record.images for record in contents.shards[split]), len(pack.split(split))
        if not images == listed == contents.manifest["images"][split]:
            problems.append(f"manifest.json: {split} has {contents.manifest['images'][split]:,} images, its shards "
                            f"{images:,}, the index {listed:,}")
    if not problems:  # else these would only say it again
        if sums != PixelStatistics.from_json(contents.manifest["statistics"]["sums"]):
            problems.append("manifest.json: the sums of the training pixels are not those of the images")
        problems += _check_statistics(pack, sums)
        if pack.mean_image is not None and not np.array_equal(total / max(count, 1), pack.mean_image):
            problems.append("mean-image.npy is not the mean of the training images")
    return problems


def _other_files(contents: Sharded) -> list[FileRecord]:
    return [FileRecord(**found) for found in (contents.manifest["index"], contents.manifest["mean_image"]) if found]


def _tasks(contents: Sharded, raw: bool) -> Iterator[_Task]:
    for split in contents.splits:
        first = 0
        for record in contents.shards[split]:
            yield _Task(contents.path, record, first, len(contents.classes), raw)
            first += record.images


def _check_shard(task: _Task, after: Callable[[int], None]) -> _Found:
    record, statistics = task.record, PixelStatistics()
    assert record.file is not None
    if problem := record.file.problem(task.folder):
        after(record.images)
        return _Found([problem], statistics, None)
    try:
        with h5py.File(task.folder / record.file.file, "r") as file:
            problems = _check_head(file, task)
            total = None if problems else _check_images(file, task, statistics, problems, after)
    except DAMAGE as error:  # no bytes have changed, but whoever wrote them made something else of them
        problems, total = [f"{type(error).__name__}: {error}"], None
    return _Found([f"{record.file.file}: {problem}" for problem in problems], statistics, total)


def _check_head(file: h5py.File, task: _Task) -> list[str]:
    """The shard against the manifest and the index."""
    record = task.record
    if problem := shard_problem(file, record.split, record.number):
        return [problem]
    labels, kind = file["labels"][...], "images" if task.raw else "encoded"
    if kind not in file or len(labels) != record.images:
        return [f"it has {len(labels)} images, and {', '.join(file)}; expected {record.images}, and {kind}"]
    wrong = np.flatnonzero((labels < 0) | (labels >= task.classes))
    problems = [f"image {i}: label {labels[i]} is not one of 0..{task.classes - 1}" for i in wrong]
    here = slice(task.first, task.first + record.images)
    starts, sizes = places(file)
    with h5py.File(task.folder / INDEX, "r") as index:
        group = index[record.split]
        expected = {"labels": labels, "starts": starts, "sizes": sizes}
        problems += [f"{INDEX} has other {name}" for name, values in expected.items()
                     if not np.array_equal(group[name][here], values)]
        if list(group["files"].asstr()[here]) != read_strings(file, "files"):
            problems.append(f"{INDEX} has other files")
    return problems


def _check_images(file: h5py.File, task: _Task, statistics: PixelStatistics, problems: list[str],
                  after: Callable[[int], None]) -> np.ndarray | None:
    """Decode all. The images' sum is returned, where they have one size."""
    total = np.zeros(task.record.shape, np.int64) if task.record.shape and task.record.split == "train" else None
    offsets = None if task.raw else file["offsets"][...].astype(np.int64)
    for i in range(task.record.images):
        after(1)
        try:
            pixels = (file["images"][i] if offsets is None else
                      decode(file["encoded"][offsets[i] : offsets[i + 1]].tobytes()))
        except DecodeError as error:
            problems.append(f"image {i}, {read_strings(file, 'files')[i]}: {error}")
            continue
        if task.record.shape and pixels.shape != task.record.shape:
            problems.append(f"image {i}, {read_strings(file, 'files')[i]}, is {pixels.shape}, not {task.record.shape}")
        elif task.record.split == "train":
            statistics.add(pixels)
            if total is not None:
                total += pixels
    return total


def _check_splits(pack: Pack, after: Callable[[int], object]) -> list[str]:
    """A pack of one file, whose layout was checked when it was opened."""
    problems, statistics = [], PixelStatistics()
    for name in pack.splits:
        split = pack.split(name)
        for i in range(len(split)):
            after(1)
            try:
                pixels = split.image(i)
            except DecodeError as error:
                problems.append(str(error))
                continue
            if name == "train":
                statistics.add(pixels)
    return problems or _check_statistics(pack, statistics)


def _check_statistics(pack: Pack, statistics: PixelStatistics) -> list[str]:
    values, vectors = statistics.principal_components()
    exact = {"mean": statistics.mean, "std": statistics.std}
    problems = [f"{name} is {getattr(pack, name).tolist()}, but that of the images {value.tolist()}"
                for name, value in exact.items() if not np.allclose(getattr(pack, name), value, rtol=1e-12, atol=1e-12)]
    if not (np.allclose(pack.eigenvalues, values, rtol=_TOLERANCE, atol=1e-12) and
            np.allclose(pack.eigenvectors * pack.eigenvalues, vectors * values, atol=_TOLERANCE)):
        problems.append("the principal components are not those of the images")
    return problems


def contact_sheet(pack: Pack, path: Path, *, classes: int = 20, images: int = 10, cell: int = 64) -> None:
    """Write a PNG with a row of images for each class: evenly spaced ones of the first split, the same each time.

    At most `classes` rows, evenly spaced among the pack's classes, of at most `images`, as squares of `cell` pixels.
    Images that do not decode are left black. Raises OSError: `path` cannot be written.
    """
    import matplotlib

    from ..safefile import temporary_beside

    matplotlib.use("Agg")
    from matplotlib import pyplot

    split = pack.split(pack.splits[0])
    chosen = _spread(np.arange(len(pack.classes)), classes)
    sheet = np.zeros((len(chosen) * cell, images * cell, 3), np.uint8)
    for row, label in enumerate(chosen):
        for column, index in enumerate(_spread(np.flatnonzero(split.labels == label), images)):
            sheet[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = _thumbnail(split, index, cell)
    figure, axes = pyplot.subplots(figsize=(sheet.shape[1] / 100 + 3, sheet.shape[0] / 100 + 0.8), dpi=150,
                                   layout="constrained")
    axes.imshow(sheet, interpolation="nearest")
    axes.set_xticks([])
    names = [f"{label}  {pack.classes[label].split(',')[0][:30]}" for label in chosen]
    axes.set_yticks((np.arange(len(chosen)) + 0.5) * cell - 0.5, names, fontsize=8)
    counts = ", ".join(f"{len(pack.split(name)):,} {name}" for name in pack.splits)
    axes.set_title(f"{pack.path.name}: {counts}; {len(pack.classes):,} classes", fontsize=9, loc="left")
    buffer = io.BytesIO()
    pyplot.savefig(buffer, format="png")
    pyplot.close(figure)
    with temporary_beside(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the values, evenly spaced, with the first."""
    return values if len(values) <= count else values[np.arange(count) * len(values) // count]


def _thumbnail(split: Split, index: int, cell: int) -> np.ndarray:
    from PIL import Image

    from .resize import central_square

    try:
        return np.array(central_square(Image.fromarray(split.image(int(index))), cell))
    except DecodeError:
        return np.zeros((cell, cell, 3), np.uint8)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status: 0 for a good pack, 1 for another, with what is wrong on stderr."""
    parser = Parser(prog="python -m tinyconv.data.check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pack", help="NAME.pack or OUT.h5")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="where the contact sheet goes (default: PACK.png)")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes that decode; 0: none but this (default: one for each core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    path = Path(options.pack)
    sheet = options.sheet or path.resolve().with_name(f"{path.resolve().name}.png")
    try:
        if options.workers is not None and options.workers < 0:
            raise ValueError(f"--workers is {options.workers}; pass at least 0")
        verdict = check(path, workers=options.workers, progress=not options.quiet)
        with Pack(path) as pack:
            contact_sheet(pack, sheet)
    except (PackError, ValueError, OSError) as error:
        print(f"check: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("check: interrupted", file=sys.stderr)
        return 130
    return _tell(path, verdict, sheet)


def _tell(path: Path, verdict: Verdict, sheet: Path) -> int:
    for problem in verdict.problems[:_SHOWN]:
        print(f"check: {problem}", file=sys.stderr)
    if len(verdict.problems) > _SHOWN:
        print(f"check: ... and {len(verdict.problems) - _SHOWN:,} more", file=sys.stderr)
    images = ", ".join(f"{count:,} {split}" for split, count in verdict.images.items())
    state = f"{len(verdict.problems):,} problems: pack the source again" if verdict.problems else "good"
    print(f"{path}: {images} images; {state}; contact sheet: {sheet}")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
