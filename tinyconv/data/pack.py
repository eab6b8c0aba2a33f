"""Pack a folder of class folders, or the official ILSVRC2012 files, into one HDF5 file.

    python -m tinyconv.data.pack SOURCE OUT.h5 [--resize S] [--quality Q] [--storage auto|encoded|raw]

Images that cannot be read are reported, counted in the pack, and skipped. See `layout.py` for what is
written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..commandline import Parser
from .decode import decode, encode_jpeg, encode_png, keepable
from .errors import DecodeError, PackError
from .photos import Photo, Skipped, Source
from .resize import shrink_short_side
from .sources import fingerprint, open_source
from .writer import PackWriter, write_pack

STORAGES = ("auto", "encoded", "raw")
QUALITY = 90
RAW_LIMIT = 64 << 20  # bytes of pixels that "auto" stores raw; they wait in memory until it knows
_SHOWN = 20  # skipped files listed by the command


@dataclass(frozen=True)
class Report:
    """What `pack` did: the file, its images per split, the files of the source it left out."""

    path: Path
    images: dict[str, int]
    skipped: list[Skipped]

    def __str__(self) -> str:
        images = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        size = self.path.stat().st_size / 1e6
        return f"{self.path}: {images} images, {len(self.skipped):,} skipped, {size:,.1f} MB"


@dataclass(frozen=True)
class _Ready:
    """An image as it goes into the pack."""

    photo: Photo
    pixels: np.ndarray
    encoded: bytes


def pack(source: str | Path, out: str | Path, *, resize: int | None = None, quality: int = QUALITY,
         storage: str = "auto", progress: bool = True) -> Report:
    """Pack the folder `source` into the file `out`, which appears complete or not at all.

    resize   None: JPEG and PNG files keep their bytes, others become PNG. S: images whose short side is
             longer than S pixels are reduced to it and stored as JPEG.
    quality  of those JPEGs, 1..95.
    storage  "encoded": as files. "raw": as pixels, which needs images of one size. "auto": raw if all have
             one size and need at most 64 MiB, else encoded.
    progress shows a bar on stderr.

    Raises PackError: the source is missing, empty or damaged as a whole, `out` cannot be written or lies in
    the source. A single broken image is no error: see `Report.skipped`. ValueError: an option is out of
    range.
    """
    _check_options(resize, quality, storage)
    folder, path = Path(source), Path(out)
    if path.resolve().is_relative_to(folder.resolve()):
        raise PackError(f"{path} lies inside the source {folder}, which stays as it is; write it elsewhere")
    opened = open_source(folder)
    with tqdm(opened.photos(), "packing", opened.total, unit=" images", unit_scale=True, disable=not progress) as items:
        ready: Iterable[_Ready | Skipped] = (_prepare(item, resize, quality) for item in items)
        grey = False
        if storage == "auto":
            storage, grey, ready = _choose_storage(iter(ready))
        with write_pack(path, classes=opened.classes, wnids=opened.wnids, licence=opened.licence,
                        provenance=_provenance(opened, resize, quality),
                        fingerprint=describe(folder, opened, resize, quality)) as writer:
            for item in ready:
                _store(writer, item, storage, grey)
    return Report(path, writer.images, writer.skipped)


def describe(folder: Path, source: Source, resize: int | None, quality: int) -> str:
    """The pack's fingerprint: of the source's files and of the options that change the images."""
    return f"{fingerprint(folder, source)} resize={resize} quality={quality if resize else None}"


def _check_options(resize: int | None, quality: int, storage: str) -> None:
    if resize is not None and not 1 <= resize <= 8192:
        raise ValueError(f"resize is {resize}; pass the short side in pixels, 1..8192, or None")
    if not 1 <= quality <= 95:
        raise ValueError(f"quality is {quality}; pass 1..95")
    if storage not in STORAGES:
        raise ValueError(f"storage is {storage!r}; pass one of {', '.join(STORAGES)}")


def _provenance(source: Source, resize: int | None, quality: int) -> str:
    return source.provenance + (f"; short side reduced to {resize}, JPEG quality {quality}" if resize else "")


def _prepare(item: Photo | Skipped, resize: int | None, quality: int) -> _Ready | Skipped:
    if isinstance(item, Skipped):
        return item
    try:
        pixels = decode(item.data)  # to know that it can be, and for the statistics
    except DecodeError as error:
        return Skipped(item.file, str(error))
    if resize is not None and min(pixels.shape[:2]) > resize:
        encoded = encode_jpeg(shrink_short_side(pixels, resize), quality)
        return _Ready(item, decode(encoded), encoded)
    return _Ready(item, pixels, item.data if keepable(item.data) else encode_png(pixels))


def _choose_storage(items: Iterator[_Ready | Skipped]) -> tuple[str, bool, Iterable[_Ready | Skipped]]:
    """("raw", all are grey, items) if the set is small and of one size, else ("encoded", False, items).

    The items are all those that came in. Looks at no more items than it takes to find out.
    """
    seen: list[_Ready | Skipped] = []
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


def _store(writer: PackWriter, item: _Ready | Skipped, storage: str, grey: bool) -> None:
    if isinstance(item, Skipped):
        writer.skip(item)
        return
    photo = item.photo
    if storage == "raw":
        writer.add(photo.split, photo.label, photo.file, item.pixels[..., 0] if grey else item.pixels)
    else:
        writer.add(photo.split, photo.label, photo.file, item.pixels, item.encoded)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 1 with one line on stderr."""
    description = (__doc__ or "").split("\n")[0]
    parser = Parser(prog="python -m tinyconv.data.pack", description=description)
    parser.add_argument("source", help="folder of class folders (or of train/, val/, test/ with such), or of "
                                       "the ILSVRC2012 train, val and devkit files")
    parser.add_argument("out", help="the pack to write, OUT.h5")
    parser.add_argument("--resize", type=int, metavar="S",
                        help="reduce short sides to S pixels (default: keep them)")
    parser.add_argument("--quality", type=int, default=QUALITY, metavar="Q",
                        help="JPEG quality of reduced images, 1..95 (default: %(default)s)")
    parser.add_argument("--storage", choices=STORAGES, default="auto",
                        help="as image files, as raw pixels, or whichever suits (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no list of skipped files")
    options = parser.parse_args(arguments)
    try:
        report = pack(options.source, options.out, resize=options.resize, quality=options.quality,
                      storage=options.storage, progress=not options.quiet)
    except (ValueError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pack: interrupted; nothing was written", file=sys.stderr)
        return 130
    if not options.quiet:
        _list_skipped(report)
    print(report)
    return 0


def _list_skipped(report: Report) -> None:
    for item in report.skipped[:_SHOWN]:
        print(f"skipped {item.file}: {item.reason}", file=sys.stderr)
    if len(report.skipped) > _SHOWN:
        more = len(report.skipped) - _SHOWN
        print(f"... and {more} more, all in {report.path} under /skipped", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
