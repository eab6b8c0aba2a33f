"""The options that training programs share, for argparse."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import Any

from ..commandline import number, whole_number
from ..models import VARIANTS
from ..models.alexnet import INITS
from ..optim import SGD, Plateau, Schedule, cosine_schedule, step_schedule

SCHEDULES = ("cosine", "step", "plateau", "constant")
AUGMENTATIONS = ("paper", "resized-crop")


# What a resumed run may have otherwise than before; it is told.
MAY_CHANGE = ("epochs", "lr", "momentum", "weight_decay", "clip_norm", "label_smoothing", "warmup", "step_every",
              "patience", "color_noise", "least_area")


def command_to_resume(arguments: list[str] | None = None) -> str:
    """This command, ready for the shell, with a plain ``--resume``: from the checkpoint in its own folder."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--resume" in given:
        at = given.index("--resume")
        named = at + 1 < len(given) and not given[at + 1].startswith("-")
        del given[at:at + 1 + named]
    given = [word for word in given if not word.startswith("--resume=")]
    return shlex.join([sys.executable, sys.argv[0], *given, "--resume"])


def _int(least: int) -> Callable[[str], int]:
    return whole_number(least, 2 ** 31 - 1)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--variant", choices=VARIANTS, default="paper", help="which AlexNet (default: %(default)s)")
    group.add_argument("--device", default="cpu", metavar="NAME[,NAME]",
                       help="where it runs: cpu, cuda:0 ... or reference; two names, as cpu:0,cpu:1 (half of the "
                            "cores each) or cuda:0,cuda:1: one for each tower "
                            "(default: %(default)s)")
    group.add_argument("--init", choices=INITS, default="he",
                       help="initial weights; 'variant': as the original had them (default: %(default)s)")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="SOURCE",
                        help="a pack (.h5), a folder with a folder for each class, or a folder with the ILSVRC2012 "
                             "files; by default the embedded Fashion-MNIST")
    source.add_argument("--synthetic", action="store_true", help="train on generated stripes; needs no data")
    group.add_argument("--resize", type=_int(1), metavar="PIXELS",
                       help="the short side of each image after scaling (default: 256, or 8/7 of --crop if given)")
    group.add_argument("--crop", type=_int(1), metavar="PIXELS",
                       help="the size of the network's input (default: 224 or 227, as the variant has it)")
    group.add_argument("--augmentation", choices=AUGMENTATIONS, default="paper",
                       help="paper: a random crop of the scaled image; resized-crop: a box of any size and shape, "
                            "scaled to the crop; both mirrored half the time (default: %(default)s)")
    group.add_argument("--least-area", type=number(above=0, most=1), metavar="SHARE",
                       help="of resized-crop: the smallest box, as a share of the image (default: 0.08)")
    group.add_argument("--color-noise", type=number(least=0), metavar="SD",
                       help="strength of the paper's colour noise (default: 0.1, and 0 for a pack of grey images)")
    group.add_argument("--workers", type=_int(0), default=1,
                       help="processes that prepare images; 0: the training process itself (default: %(default)s)")


def add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=_int(0), default=90, help="(default: %(default)s)")
    group.add_argument("--batch", type=_int(1), default=128, help="images in a step (default: %(default)s)")
    group.add_argument("--lr", type=number(above=0), default=0.01, help="learning rate (default: %(default)s)")
    group.add_argument("--schedule", choices=SCHEDULES, default="cosine",
                       help="cosine: down to 0; step: a tenth every --step-every epochs; plateau: a tenth when "
                            "validation stops improving, as in 2012; constant (default: %(default)s)")
    group.add_argument("--step-every", type=number(least=0.01), default=30, metavar="EPOCHS",
                       help="(default: %(default)s)")
    group.add_argument("--patience", type=_int(1), default=5, metavar="EPOCHS",
                       help="how long plateau waits for an improvement (default: %(default)s)")
    group.add_argument("--warmup", type=number(least=0), default=0, metavar="EPOCHS",
                       help="over which the rate first rises from 0 (default: %(default)s)")
    group.add_argument("--momentum", type=number(least=0, below=1), default=0.9, help="(default: %(default)s)")
    group.add_argument("--weight-decay", type=number(least=0), default=5e-4, help="(default: %(default)s)")
    group.add_argument("--clip-norm", type=number(least=0), default=5.0, metavar="NORM",
                       help="the largest norm of all gradients together; 0: no limit (default: %(default)s)")
    group.add_argument("--label-smoothing", type=number(least=0, most=1), default=0.0, help="(default: %(default)s)")
    group.add_argument("--seed", type=whole_number(0, 2 ** 64 - 1), default=0,
                       help="all random numbers follow from it (default: %(default)s)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--out", default="runs/alexnet", metavar="FOLDER",
                       help="for the checkpoint, log and pictures (default: %(default)s)")
    group.add_argument("--resume", nargs="?", const="auto", metavar="CHECKPOINT",
                       help="go on from this checkpoint; without a name, or with 'auto', from the newest whole one in "
                            "--out, or from the beginning if there is none")
    group.add_argument("--test-only", action="store_true", help="no training: test the checkpoint")
    group.add_argument("--ten-crop", action="store_true",
                       help="at the end test with ten crops of each image, as in 2012")
    group.add_argument("--limit-batches", type=_int(1), metavar="N",
                       help="do only N batches of each epoch and test: a quick try")
    group.add_argument("--print-freq", type=_int(1), default=20, metavar="N",
                       help="batches between two reports (default: %(default)s)")
    group.add_argument("--save-minutes", type=number(least=0), default=5.0, metavar="M",
                       help="minutes between checkpoints within an epoch (default: %(default)s)")
    group.add_argument("--keep", type=_int(0), default=3, metavar="K",
                       help="keep the checkpoints of the last K epochs, besides the best (default: %(default)s)")
    group.add_argument("--log-every", type=_int(1), default=50, metavar="N",
                       help="steps between two lines of steps.jsonl (default: %(default)s)")


def describe_data(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Where the images are, for ``run.json``: the path of the pack, or how synthetic ones are made."""
    about = {"pack": None, "provenance": data.provenance, "images": {name: len(data.split(name))
                                                                      for name in data.splits}}
    if options.synthetic:
        return about | {"synthetic": {"size": options.resize, "seed": options.seed}}
    return about | {"pack": str(data.path.resolve())}


def make_schedule(options: argparse.Namespace, optimizer: SGD) -> Schedule:
    """The schedule that ``--schedule`` and its companions ask for.  Raises ValueError for values out of range."""
    if options.schedule == "step":
        return step_schedule(optimizer, options.step_every, warmup=options.warmup)
    if options.schedule == "plateau":
        return Plateau(optimizer, options.patience, warmup=options.warmup)
    if options.schedule == "cosine":
        return cosine_schedule(optimizer, max(options.epochs, 1), warmup=options.warmup)
    return Schedule(optimizer, warmup=options.warmup)
