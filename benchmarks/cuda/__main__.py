"""What the compiler makes of the CUDA kernels, for six architectures, without a GPU: a table on stdout, JSON and a
picture in runs/kernels."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tinyconv.commandline import Parser
from tinyconv.safefile import make_folder

from ..arguments import pattern
from . import budget, compiler, figures, report
from .architectures import ARCHITECTURES
from .launches import launches
from .toolkit import ToolMissing


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 whenever it could compile: it reports, it does not judge."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.update_budget:
            return _update_budget()
        return _report(parser, options)
    except (ToolMissing, RuntimeError, OSError) as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1


def _report(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    versions = _versions()
    wanted = [(launch, architecture) for architecture in options.arch for launch in launches(architecture)
              if options.filter.search(launch.name)]
    if not wanted:
        parser.error(f"no kernel matches --filter {options.filter.pattern!r}")
    make_folder(options.out)
    found = figures.measure(wanted)
    report.write_json(found, versions, options.out / "kernels.json")
    print(report.table(found, versions))
    from . import picture  # Matplotlib takes a second to load

    picture.draw(found, options.out / "kernels.png")
    print(f"\nwritten to {options.out}")
    return 0


def _update_budget() -> int:
    found = figures.measure([(launch, number) for number in ARCHITECTURES for launch in launches(number)])
    budget.write(found, compiler.version())
    print(f"written to {budget.PATH}")
    return 0


def _versions() -> dict[str, str]:
    return {"NVRTC": compiler.version(), "CuPy": next(d.version for d in metadata.distributions()
                                                      if d.name.startswith("cupy")), "library": compiler.library()}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.cuda", description=__doc__,
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES), metavar="SM",
                        help=f"architectures: {', '.join(map(str, ARCHITECTURES))}")
    parser.add_argument("--filter", type=pattern, default=re.compile(""), metavar="REGEX",
                        help='only the kernels that match, for example "conv/.*forward"')
    parser.add_argument("--out", type=Path, default=Path("runs/kernels"),
                        help="folder for kernels.json and kernels.png")
    parser.add_argument("--update-budget", action="store_true",
                        help="write budget.json: from now on the tests hold the kernels to today's figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
