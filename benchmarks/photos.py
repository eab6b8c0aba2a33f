"""The photos that the benchmarks train on, where --data names none: ImageNet's files in miniature."""

from __future__ import annotations

import argparse
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ilsvrc-tiny"


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option --data."""
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None, metavar="SOURCE",
                        help="a pack, a folder of photos or one with the ILSVRC2012 files (default: %(default)s)")


def require_data(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with an error if there are no photos."""
    if options.data is None:
        parser.error("there are no photos beside this repository; name some, for example a folder with the ILSVRC2012 "
                     "files, with --data")
