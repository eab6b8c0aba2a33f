"""Train the networks of the ablation, each with several seeds, and print the table of their errors.

Runs that are finished are not repeated; one that was stopped goes on from its last checkpoint.  The table is of the
finished runs that --only and --seeds choose.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tinyconv.commandline import Parser
from tinyconv.data import open_data

from ..arguments import pattern, positive
from ..exit_status import exit_status
from . import table
from .networks import NETWORKS
from .runs import Recipe, Run, finished, train

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "ilsvrc-tiny"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    runs = [Run(network, seed) for seed in options.seeds for network in NETWORKS]  # a seed done is a whole comparison
    runs = [run for run in runs if options.only.search(run.label)]
    if not runs:
        parser.error(f"no run matches --only {options.only.pattern!r}; there are, for example, "
                     f"{Run(NETWORKS[0], options.seeds[0]).label!r} and {Run(NETWORKS[-1], options.seeds[0]).label!r}")
    if options.data is None:
        parser.error("there are no photos beside this repository; name a folder with the ILSVRC2012 files with --data")
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
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None, metavar="DIR",
                        help="a folder with the ILSVRC2012 files, or anything else that open_data takes")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), metavar="DIR",
                        help="for the pack, a folder for each run, ablation.json and ablation.md")
    parser.add_argument("--only", type=pattern, default=re.compile(""), metavar="REGEX",
                        help='only runs whose label matches, for example "two, LRN" or "seed 0"')
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="at least 0")
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
