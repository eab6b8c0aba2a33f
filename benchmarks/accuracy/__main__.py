"""Train AlexNet with tinyconv and with PyTorch, several seeds each, and print the table of their accuracies.

Runs that are finished are not repeated; one that was stopped goes on from its last checkpoint.  Two commands may work
side by side, each with an --only of its own; the table is of all finished runs of these --seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinyconv.commandline import Parser, number, whole_number
from tinyconv.data import open_data
from tinyconv.models import VARIANTS

from .. import result_file
from ..arguments import positive
from ..choice import add_choice, chosen
from ..exit_status import exit_status
from ..photos import add_data, require_data
from . import ours, table
from .recipe import MOST_EPOCHS, MOST_SEED, SIDES, Recipe, Run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    every = [Run(side, seed) for seed in options.seeds for side in SIDES]  # a seed done is a whole comparison
    runs = chosen(parser, options, every)
    require_data(parser, options)
    if options.crop > options.resize:
        parser.error(f"--resize {options.resize} is smaller than --crop {options.crop}; a crop must fit into the image")
    if any(run.side == "PyTorch" for run in runs) and not find_spec("torch"):
        parser.error("PyTorch is not installed: make torch; or only the other side: --only tinyconv")
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    return exit_status(lambda: work(runs, every, recipe, options.data, options.out))


def work(runs: Sequence[Run], every: Sequence[Run], recipe: Recipe, source: Path, out: Path) -> None:
    """Do those of the ``runs`` that are not done.  The table, of what is finished of ``every`` run, is written anew
    after each, so that there is one if the next is stopped."""
    data = open_data(source, out)

    def result(run: Run) -> dict[str, Any] | None:
        return result_file.finished(run.folder(out), run.settings(recipe, data.fingerprint))

    missing = [run for run in runs if result(run) is None]
    for count, run in enumerate(missing, 1):
        print(f"run {count} of {len(missing)}: {run.label}", flush=True)
        settings = run.settings(recipe, data.fingerprint)
        result_file.begin(run.folder(out), settings)
        result_file.keep(run.folder(out), settings, _train(run, recipe, data, run.folder(out)))
        table.write([found for run in every if (found := result(run))], out)
    done = [found for run in every if (found := result(run))]
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
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), metavar="DIR",
                        help="for the pack, a folder for each run, accuracy.json, .md and .png")
    add_choice(parser, "PyTorch", MOST_SEED)
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--variant", choices=VARIANTS, default=Recipe.variant, help="which AlexNet")
    for name, kind, what in (
            ("resize", positive, "short side of a photo, in pixels"), ("crop", positive, "side of the network's input"),
            ("epochs", whole_number(1, MOST_EPOCHS - 1), "of each run"), ("batch", positive, "images in a step"),
            ("lr", number(above=0), "learning rate at first; it falls as a cosine"),
            ("momentum", number(least=0, below=1), "of the steps"),
            ("weight-decay", number(least=0), "of all parameters"),
            ("clip-norm", number(least=0), "largest norm of all gradients together; 0: no limit"),
            ("color-noise", number(least=0), "standard deviation of the paper's colour noise"),
            ("limit-batches", whole_number(0), "only N batches of each epoch and of its validation: a quick try; "
                                               "0: all")):
        recipe.add_argument(f"--{name}", type=kind, default=getattr(Recipe, name.replace("-", "_")), metavar="N",
                            help=what)
    return parser


if __name__ == "__main__":
    sys.exit(main())
