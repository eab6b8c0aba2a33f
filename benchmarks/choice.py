"""Which of a benchmark's runs to do: those of some seeds whose labels match --only."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from tinyconv.commandline import whole_number

from .arguments import pattern


class Labelled(Protocol):
    @property
    def label(self) -> str: ...


Run = TypeVar("Run", bound=Labelled)


def add_choice(parser: argparse.ArgumentParser, example: str, most_seed: int) -> None:
    """The options --only, of which ``example`` shows what it may be, and --seeds."""
    parser.add_argument("--only", type=pattern, default=re.compile(""), metavar="REGEX",
                        help=f'only runs whose label matches, for example "{example}" or "seed 0"')
    parser.add_argument("--seeds", type=whole_number(0, most_seed), nargs="+", default=[0, 1, 2], metavar="N",
                        help="of the runs")


def chosen(parser: argparse.ArgumentParser, options: argparse.Namespace, runs: Sequence[Run]) -> list[Run]:
    """Those of the runs that --only names; ends with an error if there is none."""
    found = [run for run in runs if options.only.search(run.label)]
    if not found:
        parser.error(f"no run matches --only {options.only.pattern!r}; there are, for example, {runs[0].label!r} and "
                     f"{runs[-1].label!r}")
    return found
