"""Time AlexNet's layers and training steps: a table on stdout, JSON and a picture in runs/bench."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tinyconv.commandline import Parser
from tinyconv.safefile import make_folder

from . import layers, machine, memory, peak, report, shapes, step, timing

KINDS = ("conv", "pool", "lrn", "relu", "linear", "dropout", "loss", "update", "step", "memory")
STEP = "training step"


@dataclass(frozen=True)
class Job:
    """Something to measure.  ``subject`` is a layer, or the variant of a network."""

    subject: Any
    kind: str
    which: str
    batch: int | None

    @property
    def label(self) -> str:
        """What ``--filter`` is matched against."""
        name = self.subject if isinstance(self.subject, str) else self.subject.name
        return f"{name} {self.which}" + (f" batch {self.batch}" if self.batch else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 whenever it has measured: it reports, it does not judge."""
    parser = _parser()
    options = parser.parse_args(arguments)
    jobs = [job for job in _jobs(options.batch, options.step_batch)
            if job.kind in options.layers and options.filter.search(job.label)]
    if not jobs:
        parser.error(f"nothing to measure matches --filter {options.filter.pattern!r} among {' '.join(options.layers)}")
    try:
        make_folder(options.out)  # now, and not after minutes of measuring
    except OSError as error:
        parser.error(error.strerror)
    with_torch = options.torch and _torch_is_there()
    found = run(jobs, with_torch, _effort(options), options.quick)
    found.about["settings"] = {name: value.pattern if isinstance(value, re.Pattern) else value
                               for name, value in vars(options).items() if name != "out"}
    report.write_json(found, options.out / "bench.json")
    if found.results:
        from . import picture  # Matplotlib takes a second to load

        picture.draw(found, options.out / "bench.png")
    print(found.table())
    print(f"\nwritten to {options.out}")
    return 0


def run(jobs: Iterable[Job], with_torch: bool, effort: timing.Effort, quick: bool = False) -> report.Report:
    """Measure each job, and the peaks before and after."""
    about: dict[str, Any] = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
             "machine": machine.describe(), "versions": machine.versions(),
             "threads": machine.use_all_cores(with_torch)}
    if not with_torch:
        about["versions"]["torch"] = None  # what is not used is not reported
    seconds = 0.05 if quick else 1.0
    best = peak.measure(seconds)
    results: list[report.Result] = []
    footprints: list[dict[str, Any]] = []
    with tqdm(list(jobs), file=sys.stderr, unit="job", dynamic_ncols=True) as progress:
        for job in progress:
            progress.set_description(job.label)
            if job.kind == "memory":
                footprints += _footprints(job, with_torch, quick)
            else:
                results.append(_time_step(job, with_torch, effort) if job.kind == "step"
                               else _time_layer(job, with_torch, effort))
    return report.Report(about, peak.better(best, peak.measure(seconds)), results, footprints)


def _jobs(batches: Sequence[int], step_batch: int) -> Iterator[Job]:
    """All that there is to measure, in the order of the table."""
    network = shapes.alexnet()
    for batch in batches:
        for layer in network:
            if layer.kind != "update":
                yield from (Job(layer, layer.kind, which, batch) for which in layer.passes)
    yield Job(network[-1], "update", shapes.UPDATE, None)
    yield from (Job(variant, "step", STEP, step_batch) for variant in step.VARIANTS)
    yield from (Job(variant, "memory", "memory", step_batch) for variant in step.VARIANTS)


def _time_layer(job: Job, with_torch: bool, effort: timing.Effort) -> report.Result:
    layer, batch = job.subject, job.batch or 1
    data = layers.numbers(layer, batch)
    sides = {report.OURS: layers.side(layer, job.which, data).run}
    if with_torch:
        from . import torch_layers

        sides[report.THEIRS] = torch_layers.side(layer, job.which, data).run
    return report.Result(layer.name, job.kind, job.which, job.batch, layer.flops(batch, job.which),
                         layer.bytes(batch, job.which), timing.interleave(sides, effort))


def _time_step(job: Job, with_torch: bool, effort: timing.Effort) -> report.Result:
    variant, batch = job.subject, job.batch or 1
    ours = step.tinyconv_step(variant, batch)
    flops = step.flops(ours.model, batch, step.VARIANTS[variant])
    sides = {report.OURS: ours.run}
    if with_torch:
        sides[report.THEIRS] = step.torch_step(variant, batch).run
    return report.Result(variant, job.kind, job.which, batch, flops, 0, timing.interleave(sides, effort))


def _footprints(job: Job, with_torch: bool, quick: bool) -> list[dict[str, Any]]:
    sides = [side for side in memory.SIDES if with_torch or side != "torch"]
    return [memory.measure(side, job.subject, job.batch or 1, *((1, 1) if quick else ())) for side in sides]


def _torch_is_there() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"bench: without PyTorch ({error}); install torch to compare", file=sys.stderr)
        return False
    return True


def _effort(options: argparse.Namespace) -> timing.Effort:
    if options.quick:
        return timing.Effort(budget=0.02, repeat=options.repeat or 1, turn=0.0, most=20)
    return timing.Effort(budget=options.budget, repeat=options.repeat or timing.Effort.repeat)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks", description=__doc__,
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--batch", type=_positive, nargs="+", default=[1, 32, 128], help="images in a layer's input")
    parser.add_argument("--step-batch", type=_positive, default=32, help="images in a whole training step")
    parser.add_argument("--layers", nargs="+", choices=KINDS, default=KINDS, metavar="KIND",
                        help=f"what to measure: {', '.join(KINDS)}")
    parser.add_argument("--filter", type=_pattern, default=re.compile(""), metavar="REGEX",
                        help='measure only what matches, for example "conv[23] forward" or "paper"')
    parser.add_argument("--repeat", type=_positive, help=f"timed calls at least (default: {timing.Effort.repeat})")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each line of the table, for more calls")
    parser.add_argument("--quick", action="store_true", help="as few calls as possible: does it run at all?")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="do not compare with PyTorch")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for bench.json and bench.png")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
