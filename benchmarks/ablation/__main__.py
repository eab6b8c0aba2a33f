"""Train the networks of the ablation, each with several seeds, and print the table of their errors.

Runs that are finished are not repeated; one that was stopped goes on from its last checkpoint.  The table is of the
finished runs that --only and --seeds choose.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tinyconv.commandline import Parser
from tinyconv.data import open_data

from ..arguments import positive
from ..choice import add_choice, chosen
from ..exit_status import exit_status
from ..photos import add_data, require_data
from . import table
from .networks import NETWORKS
from .runs import Recipe, Run, finished, train


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    every = [Run(network, seed) for seed in options.seeds for network in NETWORKS]  # a seed done is a whole comparison
    runs = chosen(parser, options, every)
    require_data(parser, options)
    recipe = Recipe(options.epochs, options.batch, options.lr, limit_batches=options.limit_batches,
                    data=options.data.resolve().name.removesuffix(".pack.h5"), devices=tuple(options.devices))
    return exit_status(lambda: work(runs, recipe, options.data, options.out))


def work(runs: Sequence[Run], recipe: Recipe, source: Path, out: Path) -> None:
    """Do what is not done; write the table anew after each run, so that there is one if the next is stopped."""
    results = {run: finished(run, recipe, out) for run in runs}
    missing = [run for run, result in results.items() if result is None]
    data = open_data(source, out) if missing else None
    for number, run in enumerate(missing, 1):
        print(f"run {number} of {len(missing)}: {run.label}", flush=True)
        results[run] = train(run, recipe, data, out)
        table.write([result for result in results.values() if result], out)
    done = [result for result in results.values() if result]
    table.write(done, out)
    print(table.text(done) + f"\nwritten to {out}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.ablation", description=__doc__,
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), metavar="DIR",
                        help="for the pack, a folder for each run, ablation.json and ablation.md")
    add_choice(parser, "two, LRN", 2 ** 64 - 1)
    parser.add_argument("--devices", nargs="+", default=["cpu"], metavar="NAME",
                        help="of the two towers, for example cpu:0 cpu:1; one tower has the first, or the whole cpu")
    parser.add_argument("--epochs", type=positive, default=Recipe.epochs, metavar="N", help="of each run")
    parser.add_argument("--batch", type=positive, default=Recipe.batch, metavar="N", help="images in a step")
    parser.add_argument("--lr", type=float, default=Recipe.lr, help="learning rate at first; it falls as a cosine")
    parser.add_argument("--limit-batches", type=positive, metavar="N",
                        help="only N batches of each epoch and validation: a quick try")
    return parser


if __name__ == "__main__":
    sys.exit(main())
