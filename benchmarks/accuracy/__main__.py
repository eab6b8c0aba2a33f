"""Train AlexNet with tinyconv and with PyTorch, several seeds each, and print the table of their accuracies.

Runs that are finished are not repeated; one that was stopped goes on from its last checkpoint.  The table is of the
finished runs that --only and --seeds choose.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinyconv.commandline import Parser, whole_number
from tinyconv.data import open_data
from tinyconv.models import VARIANTS

from .. import result_file
from ..ablation.__main__ import DATA
from ..arguments import pattern, positive
from ..exit_status import exit_status
from . import ours, table
from .recipe import SIDES, Recipe, Run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    runs = [Run(side, seed) for seed in options.seeds for side in SIDES]  # a seed done is a whole comparison
    runs = [run for run in runs if options.only.search(run.label)]
    if not runs:
        parser.error(f"no run matches --only {options.only.pattern!r}; there is, for example, "
                     f"{Run(SIDES[0], options.seeds[0]).label!r}")
    if options.data is None:
        parser.error("there are no photos beside this repository; name some with --data")
    if options.crop > options.resize:
        parser.error(f"--resize {options.resize} is smaller than --crop {options.crop}; a crop must fit into the image")
    if any(run.side == "PyTorch" for run in runs) and not find_spec("torch"):
        parser.error("PyTorch is not installed: make torch; or only the other side: --only tinyconv")
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    return exit_status(lambda: work(runs, recipe, options.data, options.out))


def work(runs: Sequence[Run], recipe: Recipe, source: Path, out: Path) -> None:
    """Do what is not done; write the table anew after each run, so that there is one if the next is stopped."""
    data = open_data(source, out)
    settings = {run: run.settings(recipe, data.fingerprint) for run in runs}
    results = {run: result_file.finished(run.folder(out), settings[run]) for run in runs}
    missing = [run for run, result in results.items() if result is None]
    for number, run in enumerate(missing, 1):
        print(f"run {number} of {len(missing)}: {run.label}", flush=True)
        results[run] = result_file.keep(run.folder(out), settings[run], _train(run, recipe, data, run.folder(out)))
        table.write([result for result in results.values() if result], out)
    done = [result for result in results.values() if result]
    table.write(done, out)
    print(table.text(done) + f"\nwritten to {out}")


def _train(run: Run, recipe: Recipe, data: Any, folder: Path) -> dict[str, Any]:
    if run.side == "tinyconv":
        return ours.train(run, recipe, data, folder)
    from . import theirs

    return theirs.train(run, recipe, data, folder)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.accuracy", description=__doc__,
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None, metavar="SOURCE",
                        help="a pack, a folder of photos or one with the ILSVRC2012 files")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), metavar="DIR",
                        help="for the pack, a folder for each run, accuracy.json, .md and .png")
    parser.add_argument("--only", type=pattern, default=re.compile(""), metavar="REGEX",
                        help='only runs whose label matches, for example "PyTorch" or "seed 0"')
    parser.add_argument("--seeds", type=whole_number(0), nargs="+", default=[0, 1, 2], metavar="N", help="at least 0")
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--variant", choices=VARIANTS, default=Recipe.variant, help="which AlexNet")
    for name, what in (("resize", "short side of a photo, in pixels"), ("crop", "side of the network's input"),
                       ("epochs", "of each run"), ("batch", "images in a step")):
        recipe.add_argument(f"--{name}", type=positive, default=getattr(Recipe, name), metavar="N", help=what)
    for name, what in (("lr", "learning rate at first; it falls as a cosine"), ("momentum", "of the steps"),
                       ("weight-decay", "of all parameters"), ("clip-norm", "largest norm of all gradients together"),
                       ("color-noise", "standard deviation of the paper's colour noise")):
        recipe.add_argument(f"--{name}", type=float, default=getattr(Recipe, name.replace("-", "_")), metavar="X",
                            help=what)
    recipe.add_argument("--limit-batches", type=whole_number(0), default=0, metavar="N",
                        help="only N batches of each epoch and validation: a quick try; 0: all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
