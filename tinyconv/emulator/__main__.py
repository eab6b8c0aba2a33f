"""``python -m tinyconv.emulator trace lrn.forward``: what one block of a kernel does to memory, as table and picture.

``python -m tinyconv.emulator list`` names the launches that can be traced.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from ..commandline import Parser
from . import examples, picture
from .trace import Line, Trace, trace


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m tinyconv.emulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{trace,list}")
    commands.add_parser("list", help="the launches that can be traced").set_defaults(run=_list)
    tracing = commands.add_parser("trace", help="trace one block of a launch")
    tracing.add_argument("kernel", metavar="KERNEL", help="for example lrn.forward; see list")
    tracing.add_argument("--block", type=_numbers, default=(0, 0, 0), metavar="X,Y,Z", help="which block (0,0,0)")
    tracing.add_argument("--shape", type=_numbers, metavar="N,C,H,W", help="of the first array; see list")
    tracing.add_argument("--rung", help="of a convolution or a linear layer: which kernel of the ladder")
    tracing.add_argument("--launch", metavar="NAME", help="of several kernels, the one in the picture (the busiest)")
    tracing.add_argument("--out", type=Path, metavar="FILE.png", help="where the picture goes (KERNEL.png)")
    tracing.set_defaults(run=_trace)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError) as error:
        parser.error(" ".join(str(error).split()))


def _list(_: argparse.Namespace) -> None:
    from ..kernels.gpu import ladder

    for name, example in examples.EXAMPLES.items():
        rungs = ladder.RUNGS.get(name, ())
        shape = ",".join(map(str, example.shape))
        print(f"{name:<38} --shape {shape:<12}" + (f"  --rung {' | '.join(rungs)}" if rungs else ""))


def _trace(options: argparse.Namespace) -> None:
    from ..kernels.gpu import ladder

    example = examples.EXAMPLES.get(options.kernel)
    if example is None:
        raise ValueError(f"there is no launch {options.kernel!r}; python -m tinyconv.emulator list names them")
    if options.shape and (len(options.shape) != len(example.shape) or 0 in options.shape):
        raise ValueError(f"--shape {options.shape}: {options.kernel} needs {len(example.shape)} numbers, 1 or more, as "
                         f"in {example.shape}")
    x, y, z = (*options.block, 0, 0)[:3]
    with ladder.use_rung(options.kernel, options.rung) if options.rung else nullcontext():
        traces = trace(lambda: examples.run(options.kernel, options.shape), (x, y, z))
    if not traces:
        raise ValueError(f"--block {x},{y},{z}: no kernel of {options.kernel} has such a block")
    for each in traces:
        print(f"{_title(options.kernel, each)}\n\n{table(each)}\n")
    chosen = _choose(traces, options.launch)
    out = options.out or Path(f"{options.kernel}.png")
    picture.draw(chosen, _title(options.kernel, chosen), out)
    print(f"picture of {chosen.launch.name}: {out}")


def _choose(traces: Sequence[Trace], name: str | None) -> Trace:
    named = [each for each in traces if name in (None, each.launch.name)]
    if not named:
        raise ValueError(f"--launch {name!r}: there are {', '.join(each.launch.name for each in traces)}")
    return max(named, key=lambda each: len(each.requests))


def _title(asked: str, each: Trace) -> str:
    launch = each.launch
    return (f"{asked}: kernel {launch.name} ({launch.module.file}), block {each.block} of grid {launch.grid}, "
            f"{launch.block} threads")


def table(each: Trace) -> str:
    """One row per instruction of the source that touches memory."""
    rows = [["line", "", "memory", "bytes", "requests", "per request", "ideal", "", "source"],
            *(_row(each, line) for line in each.lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = range(3, 7)
    return "\n".join("  ".join(text.rjust(width) if i in numbers else text.ljust(width)
                               for i, (text, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                     for row in rows)


def _row(each: Trace, line: Line) -> list[str]:
    place = line.place
    unit = "sectors   " if place.space == "global" else "wavefronts"
    verdict = "" if line.cost == line.ideal else f"{line.cost / line.ideal:.2f} times"
    return [str(place), "writes" if place.write else "reads", place.array or place.space, str(place.nbytes),
            str(line.requests), f"{line.per_request:.2f} {unit}", f"{line.ideal_per_request:.2f}", verdict,
            each.launch.module.source_line(place.file, place.line)]


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, as in 2,32,13,13")
    return tuple(int(part) for part in parts)


if __name__ == "__main__":
    main()
