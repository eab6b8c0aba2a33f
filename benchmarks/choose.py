"""Measures where Winograd's convolution is quicker than the other two, and writes ``kernels/conv/table.py``.

    python -m benchmarks.choose            # ten minutes; the machine should have nothing else to do
    python -m benchmarks.choose forward    # one pass, or several; the lines of the others stay as they are

For each pass, filter size and number of groups, layers of 16 to 512 channels and filters on few and on many pixels are
run all ways.  The table gets, for this machine's instruction set, the (channels, pixels) from which on Winograd gains
most, one or two pairs; the lines of other instruction sets stay as they are.  Nothing is measured when a network runs.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tinyconv.kernels.conv.table as table_module
from tinyconv.kernels import isa
from tinyconv.kernels.conv import choice

from tinyconv.commandline import Parser, exit_status
from tinyconv.device import device
from tinyconv.safefile import write_text

from . import machine, timing

CHANNELS = (16, 20, 32, 48, 64, 128, 256, 512)  # of a group
GROUPS = (1, 2)
PIXELS = (64, 128, 256, 512, 1024, 2048, 4096, 16384)  # of the batch
_COPIES, _LARGE = 100, 200 << 20  # of a layer; bytes of all its copies
_MOST = 1 << 27  # channels x filters x pixels of the layers that are timed
_LOSS = 3  # a loss counts as so many gains: Winograd rounds worse, and has to make up for that
Corner = tuple[int, int]
EFFORT = timing.Effort(repeat=5, turn=0.02, patience=1.0)


def ratio(which: str, taps: int, groups: int, channels: int, pixels: int) -> float:
    """How many times as fast Winograd is: the better time of the others over Winograd's.

    The calls go round many copies of the layer: in a network, too, its weights are not in the caches when its turn
    comes, and transformed ones are more bytes, up to five times as many."""
    side = choice.SIZE
    shape = max(1, pixels // side ** 2), channels * groups, side, min(side, pixels // side)
    layers = [_layer(which, taps, groups, shape)]
    nbytes = sum(a.nbytes for a in layers[0][0] if a is not None and not isinstance(a, str))
    layers += [_layer(which, taps, groups, shape) for _ in range(min(_COPIES, _LARGE // nbytes))]
    turns = itertools.cycle(layers)

    def by(word: str) -> Any:
        def run() -> None:
            os.environ["TINYCONV_CONV"] = word
            arrays, options = next(turns)
            device("cpu").launch(*arrays, **options)

        for _ in layers:
            run()  # compiles, reserves memory, keeps weights
        return lambda: timing.take_turn(run, EFFORT.turn, timing.SHORT)  # nobody sleeps meanwhile

    others = [choice.DIRECT]
    if choice.pairable(which, taps, groups, shape[1], _numbers().itemsize) and channels <= choice.FEW[which]:
        others.append(choice.PAIRS)
    before = os.environ.get("TINYCONV_CONV", "")
    try:
        times = timing.interleave({word: by(word) for word in (*others, choice.WINOGRAD)}, EFFORT)
    finally:
        os.environ["TINYCONV_CONV"] = before  # empty is as good as unset
    return min(times[word].median for word in others) / times[choice.WINOGRAD].median


def grid(which: str, taps: int, groups: int) -> dict[Corner, float]:
    """(channels, pixels) -> ratio.  Beyond _MOST it is that of as many channels and fewer pixels: there Winograd has
    gained for long, and to time those layers would take longer than all others."""
    ratios: dict[Corner, float] = {}
    for channels in CHANNELS:
        measured = [pixels for pixels in PIXELS if channels ** 2 * pixels <= _MOST]
        found = [ratio(which, taps, groups, channels, pixels) for pixels in measured]
        found += found[-1:] * (len(PIXELS) - len(found))
        ratios |= {(channels, pixels): value for pixels, value in zip(PIXELS, found, strict=True)}
        print(f"{which}, {taps}x{taps}, {groups} groups, {channels} channels, pixels {measured}:",
              "  ".join(f"{value:.2f}x" for value in found[:len(measured)]), flush=True)
    return ratios


@cache
def _numbers() -> np.ndarray:
    """To be repeated: to draw 200 MB anew for each layer takes longer than to measure it."""
    return np.random.default_rng(0).standard_normal(1 << 20, np.float32)


def _layer(which: str, taps: int, groups: int, shape: tuple[int, int, int, int]) -> tuple[Any, dict[str, Any]]:
    """What ``launch`` takes for a pass of a layer of images (N, C, H, W)."""
    cpu = device("cpu")
    x, gy = (cpu.upload(np.resize(_numbers(), shape)) for _ in range(2))
    w = cpu.upload(np.resize(_numbers(), (shape[1], shape[1] // groups, taps, taps)), plain=True)
    options: dict[str, Any] = {"stride": (1, 1), "padding": (taps // 2, taps // 2), "groups": groups}
    if which == choice.INFERENCE:
        options["kept"] = {}
    arrays = {choice.INPUT: ("conv.backward_input", gy, w, x), choice.WEIGHT: ("conv.backward_weight", x, gy, w, None)
              }.get(which, ("conv.forward", x, w, None, gy))
    return arrays, options


def limits(ratios: dict[Corner, float]) -> tuple[Corner, ...]:
    """The corner or two (channels, pixels) of the grid from which on, either or both, Winograd gains most: the sum of
    the logarithms of all ratios behind them, a loss counted _LOSS times, so that the noise of a single one does not
    decide.  None of them if it gains nowhere."""
    def gain(corners: tuple[Corner, ...]) -> float:
        return sum(math.log(r) * (1 if r >= 1 else _LOSS)
                   for (c, p), r in ratios.items() if any(c >= C and p >= P for C, P in corners))

    one = ((corner,) for corner in ratios)
    # Two that matter: fewer pixels of more channels.
    two = ((first, second) for first in ratios for second in ratios if first[0] < second[0] and first[1] > second[1])
    return max(((), *one, *two), key=gain)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m benchmarks.choose", description="Measure where Winograd's convolution pays.")
    parser.add_argument("passes", nargs="*", metavar="PASS", help=f"{', '.join(choice.PASSES)} (default: all)")
    passes = parser.parse_args(arguments).passes or choice.PASSES
    if unknown := set(passes) - set(choice.PASSES):
        parser.error(f"no pass is called {', '.join(sorted(unknown))}; use some of {', '.join(choice.PASSES)}")
    return exit_status(lambda: choose(passes), memory="end other programs")


def choose(passes: Sequence[str]) -> None:
    """Measure, and write the table."""
    machine.use_all_cores(with_torch=False)
    lines = {key: value for key, value in table_module.WINOGRAD.items()
             if key[0] != isa.chosen().name or key[1] not in passes}
    for which, taps, groups in itertools.product(passes, (3, 5), GROUPS):
        if found := limits(grid(which, taps, groups)):
            lines[isa.chosen().name, which, taps, groups] = found
    body = "".join(f'    ("{name}", "{which}", {taps}, {groups}): {value},\n'
                   for (name, which, taps, groups), value in sorted(lines.items()))
    write_text(Path(table_module.__file__), f'"""{table_module.__doc__}"""\n\nWINOGRAD = {{\n{body}}}\n')


if __name__ == "__main__":
    sys.exit(main())
