"""What the network replaced: handcrafted features and a linear classifier beside AlexNet, on the same photos.

    python -m benchmarks.handcrafted --data ILSVRC2012/ --epochs 15
    python -m benchmarks.handcrafted --data photos/ --checkpoint runs/photos/checkpoint.h5
    python -m benchmarks.handcrafted --per-class 100 --epochs 3                # a quick look

Histograms of gradients with softmax regression, whose regularisation is chosen on a held-out fifth of the training
photos; AlexNet, trained here on the same photos or taken from a checkpoint.  Both are tested on the same photos of the
split "val".  --out gets handcrafted.json, handcrafted.md, handcrafted.png and the training run, which goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinyconv as tc
from tinyconv.commandline import Parser
from tinyconv.data import EvalTransform, Loader, TrainTransform, open_data
from tinyconv.data.dataset import ImageSplit
from tinyconv.data.selection import Selection
from tinyconv.evaluate import percent
from tinyconv.optim import SGD, cosine_schedule
from tinyconv.safefile import make_folder, temporary_beside, write_text
from tinyconv.training import Trainer
from tinyconv.training.evaluation import log_softmax
from tinyconv.training.normalisation import as_settings, normalisation
from tinyconv.training.tally import Tally
from tinyconv.training.trained import evaluate_trained, load_trained

from . import features, markdown
from .arguments import positive
from .exit_status import exit_status
from .machine import describe
from .photos import add_data, require_data

RECIPE: dict[str, Any] = {"variant": "paper", "init": "he", "schedule": "cosine", "lr": 0.01, "batch": 64,
                          "clip_norm": 5.0}


@dataclass
class Photos:
    """What both sides see: splits whose labels number ``classes``; of the pack, the statistics of its pixels."""

    pack: Any
    classes: list[str]
    train: ImageSplit
    val: ImageSplit

    @property
    def mean(self) -> np.ndarray:
        return self.pack.mean

    @property
    def std(self) -> np.ndarray:
        return self.pack.std


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parse(arguments)
    return exit_status(lambda: run(args), features.MissingPackageError)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.handcrafted", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/handcrafted"), metavar="FOLDER",
                        help="(default: %(default)s)")
    photos = parser.add_argument_group("which photos")
    photos.add_argument("--classes", type=positive, metavar="K", help="the first K classes (default: all)")
    photos.add_argument("--per-class", type=positive, metavar="N", help="N training photos of each (default: all)")
    photos.add_argument("--val-per-class", type=positive, metavar="N", help="N test photos of each (default: all)")
    photos.add_argument("--pixels", type=positive, default=64,
                        help="side of the square of which histograms are made (default: %(default)s)")
    network = parser.add_argument_group("AlexNet")
    network.add_argument("--checkpoint", metavar="PATH", help="a network trained on these classes, instead of training")
    network.add_argument("--epochs", type=positive, default=15, help="of the training (default: %(default)s)")
    network.add_argument("--resize", type=positive, default=76, metavar="PIXELS", help="(default: %(default)s)")
    network.add_argument("--crop", type=positive, default=67, metavar="PIXELS", help="(default: %(default)s)")
    network.add_argument("--device", default="cpu", metavar="NAME[,NAME]", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the held-out photos and of the training")
    args = parser.parse_args(arguments)
    require_data(parser, args)
    return args


def run(args: argparse.Namespace) -> None:
    features.require()
    photos = choose(open_data(args.data, args.out), args.classes, args.per_class, args.val_per_class)
    make_folder(args.out)
    print(f"{len(photos.train):,} training and {len(photos.val):,} test photos of {len(photos.classes)} classes")
    results = [by_hand(photos, args.pixels, args.seed)]
    print(table(results, photos), flush=True)
    results += by_network(photos, args)
    text = table(results, photos)
    whole = {"data": {"provenance": photos.pack.provenance, "fingerprint": photos.pack.fingerprint,
                      "classes": photos.classes, "training_photos": len(photos.train), "test_photos": len(photos.val)},
             "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
             "machine": describe(), "results": results}
    write_text(args.out / "handcrafted.json", json.dumps(whole, indent=1) + "\n")
    write_text(args.out / "handcrafted.md", text + "\n")
    picture(results, photos, args.out / "handcrafted.png")
    print(f"\n{text}\n\nsee handcrafted.png, .md and .json in {args.out}")


def choose(pack: Any, classes: int | None, per_class: int | None, val_per_class: int | None) -> Photos:
    """The first ``classes`` of a pack, with so many training and test photos of each; None for all.

    Raises PackError if the pack has no split "val"; ValueError if it has fewer classes, or but one."""
    count = len(pack.classes) if classes is None else classes
    if not 2 <= count <= len(pack.classes):
        raise ValueError(f"--classes is {count}; the data has {len(pack.classes)}, and it takes two to tell them apart")
    train, val = (first_of_each(pack.split(split), count, most)
                  for split, most in (("train", per_class), ("val", val_per_class)))
    return Photos(pack, pack.classes[:count], train, val)


def first_of_each(split: ImageSplit, classes: int, most: int | None) -> ImageSplit:
    """The first ``most`` images of each of the first ``classes``, in the order of the split."""
    return Selection(split, np.sort(np.concatenate([np.flatnonzero(split.labels == label)[:most]
                                                    for label in range(classes)])))


def by_hand(photos: Photos, pixels: int, seed: int) -> dict[str, Any]:
    """Histograms of gradients with softmax regression."""
    began = time.monotonic()
    known = features.features(photos.train, pixels, "histograms of the training photos")
    asked = features.features(photos.val, pixels, "histograms of the test photos")
    histogram_seconds = time.monotonic() - began
    model = features.fit(known, photos.train.labels, seed)
    tally = Tally(len(photos.classes))
    tally.add_log_probability(log_softmax(model.scores(asked)), photos.val.labels)
    about = {"features": known.shape[1], "penalty": model.penalty, "held_out_top1": model.tried,
             "iterations": model.iterations, "converged": model.iterations < model.most,
             "training_top1": float((model.scores(known).argmax(axis=1) == photos.train.labels).mean()),
             "histogram_seconds": histogram_seconds, "fit_seconds": model.seconds}
    return {"name": "HOG + softmax regression", "trained_on": len(photos.train),
            "seconds": histogram_seconds + model.seconds, "about": about, **tally.summary(photos.classes)}


def by_network(photos: Photos, args: argparse.Namespace) -> list[dict[str, Any]]:
    """AlexNet by the central crop and by ten crops."""
    devices = [tc.device(name) for name in args.device.split(",")]
    path, seconds = (args.checkpoint, None) if args.checkpoint else train(photos, args, devices)
    network = load_trained(path, photos, devices)
    if network.classes != photos.classes:
        raise ValueError(f"{path} is of {len(network.classes)} classes, which are not the {len(photos.classes)} of the "
                         "photos: the comparison would not be fair; choose the data that it was trained on")
    about = {"checkpoint": str(path), **network.about}
    epochs = f"{network.about['epochs']} epoch{'s' * (network.about['epochs'] != 1)}"
    photos_seen = network.about.get("training images")
    return [{"name": f"AlexNet, {epochs}, {crops}", "trained_on": photos_seen, "seconds": seconds, "about": about,
             **tally.summary(photos.classes)}
            for (_, crops), tally in evaluate_trained([network], photos.val, ten_crop=True).items()]


def train(photos: Photos, args: argparse.Namespace, devices: Sequence[tc.Device]) -> tuple[Path, float]:
    """Train AlexNet, or go on training; returns the checkpoint, and how many seconds the training took."""
    tc.manual_seed(args.seed)  # before the model: its initial weights follow from the seed
    model = tc.models.alexnet(RECIPE["variant"], len(photos.classes), devices, args.crop, RECIPE["init"])
    optimizer = SGD(model.parameters(), RECIPE["lr"])
    pack = photos.pack
    mean, std = normalisation(pack, RECIPE["variant"], RECIPE["init"])
    augment = TrainTransform(args.resize, args.crop, mean, std, color_noise=0.0 if pack.grey else 0.1,
                             eigenvalues=pack.eigenvalues, eigenvectors=pack.eigenvectors)
    how: dict[str, Any] = {"empty": devices[0].staging}
    known = Loader(photos.train, RECIPE["batch"], augment, shuffle=True, seed=args.seed, **how)
    asked = Loader(photos.val, RECIPE["batch"], EvalTransform(args.resize, args.crop, mean, std),
                   shuffle=False, seed=0, **how)
    settings = {name: value for name, value in RECIPE.items() if name not in ("batch", "clip_norm")} | {
        "crop": args.crop, "resize": args.resize, "seed": args.seed, "epochs": args.epochs,
        "class names": "; ".join(photos.classes), "data": pack.fingerprint,
        **as_settings(mean, std)}
    trainer = Trainer(model, optimizer, cosine_schedule(optimizer, args.epochs), known, asked, len(photos.classes),
                      args.out / "alexnet", clip_norm=RECIPE["clip_norm"], settings=settings)
    if trainer.checkpoint_path.exists():
        trainer.resume()
    with known, asked:  # their workers end before the test begins
        trainer.fit(args.epochs)
    return trainer.checkpoint_path, sum(line["seconds"] for line in trainer.history)


def table(results: Sequence[dict[str, Any]], photos: Photos) -> str:
    """Markdown: a line for each method, in brackets the 95 % interval; and what guessing would give."""
    chance = [100 * min(1.0, k / len(photos.classes)) for k in (1, 5)]
    rows = [(r["name"], "?" if r["trained_on"] is None else f"{r['trained_on']:,}", percent(r["top1"]),
              percent(r["top5"]), "-" if r["seconds"] is None else f"{r['seconds']:.0f}") for r in results]
    rows.append(("guessing", "-", f"{chance[0]:.2f}", f"{chance[1]:.2f}", "-"))
    return markdown.table(("", "trained on", "top-1 [%]", "top-5 [%]", "training [s]"), rows)


def picture(results: Sequence[dict[str, Any]], photos: Photos, path: Path) -> None:
    """Left: top-1 and top-5 of each method with their 95 % intervals.  Right: top-1 of each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    bars, classes = figure.subplots(1, 2, width_ratios=(1, 2))
    colours = ["#8a8a8a", "#9ecae1", "#1b6ca8"]
    for place, (result, colour) in enumerate(zip(results, colours, strict=False)):
        shares = [100 * result[top]["share"] for top in ("top1", "top5")]
        ends = [[100 * abs(result[top][end] - result[top]["share"]) for top in ("top1", "top5")]
                for end in ("low", "high")]
        drawn = bars.bar(np.arange(2) + 0.27 * (place - 1), shares, 0.25, yerr=ends, capsize=3, color=colour,
                         label=result["name"])
        bars.bar_label(drawn, fmt="%.1f", padding=2, fontsize=8)
    for k, x in ((1, 0), (5, 1)):
        bars.hlines(100 * min(1, k / len(photos.classes)), x - 0.42, x + 0.42, "black", "dotted",
                    label="guessing" if k == 1 else None)
    bars.set_xticks([0, 1], ["top-1", "top-5"])
    bars.set_ylabel("accuracy [%]")
    bars.set_ylim(0, 108)
    bars.legend(fontsize=8, loc="upper left")
    _by_class(classes, results[0], results[-1], photos)
    figure.suptitle(f"{len(photos.train):,} training and {len(photos.val):,} test photos of "
                    f"{len(photos.classes)} classes")
    with temporary_beside(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _by_class(axes: Any, before: dict[str, Any], after: dict[str, Any], photos: Photos) -> None:
    """A line from one method's accuracy to the other's for each class, the most improved first."""
    pairs = [(line["class"], 100 * line["top1"]["share"], 100 * other["top1"]["share"])
             for line, other in zip(before["per_class"], after["per_class"], strict=True) if line["images"]]
    pairs.sort(key=lambda pair: pair[1] - pair[2])
    place = np.arange(len(pairs))
    low, high = (np.array([pair[i] for pair in pairs]) for i in (1, 2))
    axes.vlines(place, low, high, "#cccccc")
    axes.plot(place, low, "o", color="#8a8a8a", markersize=4, label=before["name"])
    axes.plot(place, high, "o", color="#1b6ca8", markersize=4, label=after["name"])
    if len(pairs) <= 60:
        axes.set_xticks(place, [name.split(",")[0] for name, _, _ in pairs], rotation=90, fontsize=7)
    axes.set_xlabel("" if len(pairs) <= 60 else "class")
    axes.set_ylabel("top-1 of the class [%]")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
