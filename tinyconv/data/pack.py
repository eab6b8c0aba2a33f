"""Pack class folders or the official ILSVRC2012 files (or a tar file of either) for training.

    python -m tinyconv.data.pack SOURCE NAME.pack [--resize S | --crop S] [--workers N] [--shard-images N] ...
    python -m tinyconv.data.pack SOURCE OUT.h5 [--resize S | --crop S] [--storage auto|encoded|raw]

NAME.pack is a folder of shards, made by several processes; killed at any moment, the same command goes on where it was.
`manifest.py` says what is in it. OUT.h5 is one file, for small sets; see `layout.py`. Images that cannot be read are
reported, listed in the pack, and skipped. `python -m tinyconv.data.check PACK` verifies either.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from ..commandline import Parser
from ..info import cores
from .building import Plan, build
from .errors import PackError
from .photos import Skipped, Source, photos
from .prepare import QUALITY, STORAGES, Ready, Recipe, prepare
from .sources import fingerprint, open_source
from .writer import PackWriter, write_pack

SHARDED = ".pack"  # a name that ends so becomes a folder of shards
SHARD_IMAGES = 1024
RAW_LIMIT = 64 << 20  # bytes of pixels that "auto" stores raw in one file; they wait in memory until it knows
_SHOWN = 20  # skipped files listed by the command


@dataclass(frozen=True)
class Report:
    """What `pack` did: the pack, its images per split, the files of the source it left out, seconds it took."""

    path: Path
    images: dict[str, int]
    skipped: list[Skipped]
    seconds: float = 0.0

    def __str__(self) -> str:
        images = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        files = self.path.iterdir() if self.path.is_dir() else [self.path]
        size = sum(file.stat().st_size for file in files) / 1e6
        return f"{self.path}: {images} images, {len(self.skipped):,} skipped, {size:,.1f} MB"


def pack(source: str | Path, out: str | Path, *, resize: int | None = None, quality: int = QUALITY,
         crop: int | None = None, storage: str = "auto", shard_images: int | None = None,
         shard_mb: float | None = None, workers: int | None = None, progress: bool = True) -> Report:
    """Pack `source`, a folder or a tar file, into `out`, which appears complete or not at all.

    out      NAME.pack: a folder of shards. Any other name: one HDF5 file.
    resize   None: JPEG and PNG files keep their bytes, others become PNG. S: images whose short side is
             longer than S pixels are reduced to it and stored as JPEG.
    quality  of those JPEGs, 1..95.
    crop     S: the short side of every image is brought to S pixels, its central square is stored as raw pixels.
    storage  "encoded": as files. "raw": as pixels, which needs images of one size (`crop` makes them so). "auto":
             raw with `crop`; in one file raw if all have one size and need at most 64 MiB; else encoded.
    shard_images, shard_mb  a shard is full at so many images, or megabytes (10^6) of the source's files (of pixels,
             with `crop`), whichever comes first. Default: 1024 images, if neither is given.
    workers  processes that make shards; 0: this one does. Default: one for each core.
    progress shows a bar on stderr.

    Raises PackError: the source is missing, empty or damaged as a whole, `out` cannot be written or lies in
    the source. A single broken image is no error: see `Report.skipped`. ValueError: an option is out of
    range, or does not apply to one file.
    """
    began = time.monotonic()
    recipe = Recipe(resize, quality, crop)
    _check_options(recipe, storage)
    folder, path = Path(source), Path(out)
    sharded = path.suffix == SHARDED
    _check_shard_options(sharded, shard_images, shard_mb, workers)
    if path.resolve().is_relative_to(folder.resolve()):
        raise PackError(f"{path} lies inside the source {folder}, which stays as it is; write it elsewhere")
    opened = open_source(folder)
    if not sharded:
        report = _pack_file(opened, describe(folder, opened, recipe), path, recipe, storage, progress)
        return Report(path, report.images, report.skipped, time.monotonic() - began)
    if not path.parent.is_dir():
        raise PackError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if shard_images is None and shard_mb is None:
        shard_images = SHARD_IMAGES
    plan = Plan(opened, describe(folder, opened, recipe), recipe, storage == "raw" or crop is not None, shard_images,
                None if shard_mb is None else int(shard_mb * 1e6))
    manifest = build(path, plan, cores() if workers is None else workers, progress)
    return Report(path, manifest["images"], [Skipped(*item) for item in manifest["skipped"]], time.monotonic() - began)


def describe(folder: Path, source: Source, recipe: Recipe) -> str:
    """The pack's fingerprint: of the source's files and of the options that change the images."""
    return f"{fingerprint(folder, source)} {recipe}"


def _check_options(recipe: Recipe, storage: str) -> None:
    if storage not in STORAGES:
        raise ValueError(f"storage is {storage!r}; pass one of {', '.join(STORAGES)}")
    if recipe.crop is not None and storage == "encoded":
        raise ValueError(f"storage is 'encoded', but crops (crop={recipe.crop}) are stored as raw pixels; "
                         "pass resize instead, or leave storage out")


def _check_shard_options(sharded: bool, images: int | None, megabytes: float | None, workers: int | None) -> None:
    given = {"shard_images": images, "shard_mb": megabytes, "workers": workers}
    for name, value in given.items():
        if value is not None and not sharded:
            raise ValueError(f"{name} is {value}, but only a folder of shards has it; call the pack NAME{SHARDED}")
    if images is not None and not 1 <= images <= 1_000_000:
        raise ValueError(f"shard_images is {images}; pass 1..1,000,000")
    if megabytes is not None and not 0 < megabytes <= 1e6:
        raise ValueError(f"shard_mb is {megabytes}; pass more than 0 and at most 1,000,000")
    if workers is not None and workers < 0:
        raise ValueError(f"workers is {workers}; pass at least 0")


def _pack_file(source: Source, description: str, path: Path, recipe: Recipe, storage: str,
               progress: bool) -> PackWriter:
    """Write layout version 1, one image after the other."""
    with tqdm(photos(source), "packing", source.total, unit=" images", unit_scale=True, disable=not progress) as items:
        ready: Iterable[Ready | Skipped] = (prepare(item, recipe) for item in items)
        grey = False
        if recipe.crop is not None:
            storage = "raw"
        elif storage == "auto":
            storage, grey, ready = _choose_storage(iter(ready))
        with write_pack(path, classes=source.classes, wnids=source.wnids, licence=source.licence,
                        provenance=source.provenance + recipe.provenance, fingerprint=description) as writer:
            for item in ready:
                _store(writer, item, storage, grey)
    return writer


def _choose_storage(items: Iterator[Ready | Skipped]) -> tuple[str, bool, Iterable[Ready | Skipped]]:
    """("raw", all are grey, items) if the set is small and of one size, else ("encoded", False, items).

    The items are all those that came in. Looks at no more items than it takes to find out.
    """
    seen: list[Ready | Skipped] = []
    shapes: set[tuple[int, ...]] = set()
    size, grey = 0, True
    for item in items:
        seen.append(item)
        if isinstance(item, Skipped):
            continue
        shapes.add(item.pixels.shape)
        size += item.pixels.nbytes
        if len(shapes) > 1 or size > RAW_LIMIT:
            return "encoded", False, chain(seen, items)
        grey = grey and bool((item.pixels == item.pixels[..., :1]).all())
    return "raw", grey, seen


def _store(writer: PackWriter, item: Ready | Skipped, storage: str, grey: bool) -> None:
    if isinstance(item, Skipped):
        writer.skip(item)
        return
    photo = item.photo
    if storage == "raw":
        writer.add(photo.split, photo.label, photo.file, item.pixels[..., 0] if grey else item.pixels)
    else:
        writer.add(photo.split, photo.label, photo.file, item.pixels, item.encoded)


def _parser() -> Parser:
    parser = Parser(prog="python -m tinyconv.data.pack", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", help="folder of class folders (or of train/, val/, test/ with such), or of "
                                       "the ILSVRC2012 train, val and devkit files; or a tar file of either")
    parser.add_argument("out", help="the pack to write: NAME.pack, a folder of shards, or OUT.h5, one file")
    parser.add_argument("--resize", type=int, metavar="S",
                        help="reduce short sides to S pixels, as JPEG (default: keep the files' bytes)")
    parser.add_argument("--quality", type=int, default=QUALITY, metavar="Q",
                        help="JPEG quality of reduced images, 1..95 (default: %(default)s)")
    parser.add_argument("--crop", type=int, metavar="S",
                        help="store raw pixels: the central square of every image, brought to S pixels")
    parser.add_argument("--storage", choices=STORAGES, default="auto",
                        help="as image files, as raw pixels, or whichever suits (default: %(default)s)")
    parser.add_argument("--shard-images", type=int, metavar="N",
                        help=f"images of the source in a shard (default: {SHARD_IMAGES:,}, unless --shard-mb is given)")
    parser.add_argument("--shard-mb", type=float, metavar="M",
                        help="megabytes of the source in a shard (of pixels, with --crop)")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes that make shards; 0: none but this (default: one for each core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no list of skipped files")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 1 with one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        report = pack(options.source, options.out, resize=options.resize, quality=options.quality, crop=options.crop,
                      storage=options.storage, shard_images=options.shard_images, shard_mb=options.shard_mb,
                      workers=options.workers, progress=not options.quiet)
    except (ValueError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = "finished shards are kept: run the same command to go on"
        print(f"pack: interrupted; {kept if Path(options.out).suffix == SHARDED else 'nothing was written'}",
              file=sys.stderr)
        return 130
    if not options.quiet:
        list_skipped(report.skipped, report.path)
    print(report)
    return 0


def list_skipped(skipped: list[Skipped], path: Path) -> None:
    """Print, to stderr, the first of them, and how often each reason came up."""
    for item in skipped[:_SHOWN]:
        print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
    if len(skipped) > _SHOWN:
        where = f"{path}/manifest.json" if path.is_dir() else f"{path} under /skipped"
        print(f"... and {len(skipped) - _SHOWN} more, all in {where}; by reason:", file=sys.stderr)
        for reason, count in Counter(item.reason for item in skipped).most_common(_SHOWN):
            print(f"  {count:,} x {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
