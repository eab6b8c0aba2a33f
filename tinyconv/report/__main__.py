"""A training run as one HTML page that opens anywhere, offline: curves, filters, mistakes with pictures, environment.

    python -m tinyconv.report runs/photos                    # writes runs/photos/report.html

May be called while the run goes on.  The validation images are those that the run was trained with; the network is the
best one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..commandline import Parser, exit_status, whole_number


def main(arguments: list[str] | None = None) -> int:
    args = _parse(arguments)
    from ..cuda import CudaUnavailable

    return exit_status(lambda: _write(args), CudaUnavailable, memory="look at fewer --images")


def _write(args: argparse.Namespace) -> None:
    from ..safefile import write_text
    from .mistakes import MistakesUnavailable, find_mistakes
    from .page import page
    from .run import read_run

    run = read_run(args.run)
    out = args.out or args.run / "report.html"
    if not out.parent.is_dir():  # told now, and not after the validation
        raise OSError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    mistakes: object = "left out, as asked for with --images 0"
    if args.images:
        try:
            mistakes = find_mistakes(run, args.images, args.data, args.device, args.workers)
        except MistakesUnavailable as why:
            print(f"without the network's mistakes: {why}", file=sys.stderr)
            mistakes = str(why)
    write_text(out, page(run, mistakes))
    print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m tinyconv.report", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="the folder of the run (its --out)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in RUN_DIR)")
    parser.add_argument("--data", type=Path, metavar="PACK",
                        help="where the images are now (default: where the run had them)")
    parser.add_argument("--images", type=whole_number(0), default=5000, metavar="N",
                        help="try the network on so many validation images, evenly spread; 0: on none "
                             "(default: %(default)s)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="where to (default: %(default)s)")
    parser.add_argument("--workers", type=whole_number(0), default=1,
                        help="processes that prepare the images (default: %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
