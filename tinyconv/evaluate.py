"""How good trained networks are: ``python -m tinyconv.evaluate runs/photos/checkpoint.h5 --data photos.h5 --ten-crop``

Top-1 and top-5 with their 95 % intervals, class by class, and which classes are taken for which; of each checkpoint of
examples/alexnet_imagenet.py, and of all together, their probabilities averaged as in the 2012 paper.  Variant, crop,
scale and classes come from the checkpoint.  Classes are matched by name: the network may know more than the data has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .commandline import Parser, exit_status, whole_number

FORMAT, VERSION = "tinyconv-evaluation", 1


def main(arguments: list[str] | None = None) -> int:
    args = _parse(arguments)
    from .cuda import CudaUnavailable
    from .data import SampleError

    return exit_status(lambda: run(args), SampleError, CudaUnavailable)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m tinyconv.evaluate", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="several are averaged as an ensemble, too")
    parser.add_argument("--data", metavar="SOURCE",
                        help="a pack, or a folder, which is packed once; by default the embedded Fashion-MNIST")
    parser.add_argument("--packs", type=Path, metavar="FOLDER",
                        help="where a folder is packed to (default: beside the first checkpoint, as in training)")
    parser.add_argument("--split", default="val", help="train, val or test (default: %(default)s)")
    parser.add_argument("--ten-crop", action="store_true",
                        help="ten crops of each photo, averaged, as in 2012; the central crop is told as well")
    parser.add_argument("--statistics", metavar="PACK",
                        help="the pack trained on, for the mean and standard deviation of the pixels (default: "
                             "those in the checkpoint, if it has them, otherwise of --data)")
    parser.add_argument("--known-only", action="store_true",
                        help="leave out images of classes that the networks do not know")
    parser.add_argument("--device", default="cpu", metavar="NAME[,NAME]",
                        help="cpu, cuda:0, reference ...; two names: one for each tower (default: %(default)s)")
    parser.add_argument("--batch", type=whole_number(1), default=128, help="crops in a batch (default: %(default)s)")
    parser.add_argument("--workers", type=whole_number(0), default=1,
                        help="of the loader, that prepare images (default: %(default)s)")
    parser.add_argument("--worst", type=whole_number(0), default=10, metavar="N",
                        help="tell the N worst classes and pairs of classes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the whole result to this file")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    from . import device
    from .data import Pack, open_data
    from .safefile import write_text
    from .training.matching import known_images
    from .training.progress import Progress
    from .training.trained import evaluate_trained, load_trained, same_classes

    if args.json and not args.json.resolve().parent.is_dir():  # told now, and not after an hour
        raise OSError(f"cannot write {args.json}: there is no folder {args.json.parent}; make it first")
    devices = [device(name) for name in args.device.split(",")]
    data = open_data(args.data, args.packs or Path(args.checkpoints[0]).parent)
    statistics = Pack(args.statistics) if args.statistics else None
    networks = [load_trained(path, data, devices, statistics) for path in args.checkpoints]
    classes = same_classes(networks)
    whole = data.split(args.split)
    split = known_images(whole, data.classes, classes, args.known_only)
    print(f"{len(split):,} {args.split} images of {len(set(split.labels.tolist()))} classes; {data.provenance}")
    with Progress("evaluation", len(split), 0, every=50) as progress:
        tallies = evaluate_trained(networks, split, ten_crop=args.ten_crop, batch=args.batch, workers=args.workers,
                                   after_batch=progress.update)
    results = [{"name": name, "crops": crops, **tally.summary(classes)} for (name, crops), tally in tallies.items()]
    if args.json:
        about = _about(args, data, split, len(whole) - len(split))
        about["checkpoints"] = [{"name": n.name, **n.about, "pixel_mean": n.mean.tolist(), "pixel_std": n.std.tolist()}
                                for n in networks]
        write_text(args.json, json.dumps({**about, "classes": classes, "results": results}, allow_nan=False) + "\n")
    print(table(results))
    print(worst(list(tallies.values())[-1], results[-1], classes, args.worst), end="")


def _about(args: argparse.Namespace, data: Any, split: Any, left_out: int) -> dict[str, Any]:
    """What was evaluated, and how."""
    return {
        "format": FORMAT, "version": VERSION,
        "data": {"source": args.data or "embedded", "provenance": data.provenance, "fingerprint": data.fingerprint,
                 "labels_sha256": hashlib.sha256(split.labels.astype("<i8").tobytes()).hexdigest(),
                 "split": args.split, "images": len(split), "left_out": left_out,
                 "skipped_when_packed": len(data.skipped), "classes": len(data.classes)},
        "settings": {"ten_crop": args.ten_crop, "batch": args.batch, "device": args.device, "confidence": 0.95,
                     "interval": "Wilson", "statistics": args.statistics}}


def table(results: Sequence[dict[str, Any]]) -> str:
    """A line for each result: top-1 and top-5 in %, in brackets their 95 % interval, and the loss."""
    rows = [("", "crops", "images", "top-1 [%]", "top-5 [%]", "loss")]
    rows += [(r["name"], r["crops"], f"{r['images']:,}", percent(r["top1"]), percent(r["top5"]), f"{r['loss']:.4f}")
             for r in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def percent(accuracy: dict[str, Any]) -> str:
    """For example "44.10 (42.17 to 46.06)"."""
    return "{share:.2f} ({low:.2f} to {high:.2f})".format(
        **{name: 100 * accuracy[name] for name in ("share", "low", "high")})


def worst(tally: Any, result: dict[str, Any], classes: Sequence[str], count: int) -> str:
    """The ``count`` classes that are guessed worst, and the pairs that are confused most often."""
    if not count:
        return ""
    whose = f"{result['name']}, {result['crops']}"
    seen = [line for line in result["per_class"] if line["images"]]
    lines = [f"\nThe worst classes ({whose}):"]
    lines += [f"  {line['class']}: {line['top1']['hits']} of {line['images']} right, {line['top5']['hits']} among the "
              "first five" for line in sorted(seen, key=lambda line: line["top1"]["share"])[:count]]
    lines.append(f"Most often taken for another ({whose}):")
    lines += [f"  {pair.count} of {pair.images} {classes[pair.truth]!r} for {classes[pair.guess]!r}"
              for pair in tally.confused(count)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
