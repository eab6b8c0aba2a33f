"""Time tinyconv beside PyTorch, layers and whole networks: a table on stdout, JSON and a picture in runs/bench."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tinyconv.commandline import Parser, number
from tinyconv.safefile import make_folder

from . import breakdown, machine, memory, peak, report, startup, timing
from .arguments import pattern, positive
from .jobs import ALEXNET_BATCHES, KINDS, NETWORKS, TINYCONV, TORCH, TUNED, Job, chosen_jobs, cost
from .processes import Sides


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 whenever it has measured: it reports, it does not judge."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        jobs = chosen_jobs(options)
    except ValueError as error:
        parser.error(str(error))
    try:
        make_folder(options.out)  # now, and not after minutes of measuring
    except OSError as error:
        parser.error(error.strerror)
    with_torch = options.torch and _torch_is_there()
    found = run(jobs, with_torch, _effort(options), options.quick)
    found.about["settings"] = {name: value.pattern if isinstance(value, re.Pattern) else value
                               for name, value in vars(options).items() if name != "out"}
    report.write_json(found, options.out / "bench.json")
    drawn = any(result.intensity for result in found.results)
    if drawn:
        from . import picture  # Matplotlib takes a second to load

        picture.draw(found, options.out / "bench.png")
    else:
        (options.out / "bench.png").unlink(missing_ok=True)  # of another run
    print(found.table())
    print(f"\nwritten to {options.out}" + ("" if drawn else "; no picture, for nothing here has a place on a roofline"))
    return 0


def run(jobs: Sequence[Job], with_torch: bool, effort: timing.Effort, quick: bool = False) -> report.Report:
    """Measure each job, and the peaks before and after.  A job that fails is reported, and the others go on."""
    about: dict[str, Any] = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                             "machine": machine.describe(), "versions": machine.versions(),
                             "threads": machine.use_all_cores(with_torch=False)}
    if not with_torch:
        about["versions"]["torch"] = None  # what is not used is not reported
    seconds = 0.05 if quick else 1.0
    best = peak.measure(seconds)
    found = report.Report(about, best, [], [], [], [], [])
    timed = [job for job in jobs if job.kind not in _ALONE]
    with tqdm(total=len(jobs), file=sys.stderr, unit="job", dynamic_ncols=True) as progress:
        if timed:
            with Sides([TINYCONV, *((TORCH, TUNED) if with_torch else ())]) as sides:
                for name, threads in sides.threads.items():
                    about["threads"][name] = threads.get("torch", threads["tinyconv"])
                for job in timed:
                    progress.set_description(job.label)
                    _note_failures(found, job, lambda job=job: found.results.append(_time(job, sides, effort)))
                    progress.update()
        for job in (job for job in jobs if job.kind in _ALONE):
            progress.set_description(job.label)
            _note_failures(found, job, lambda job=job: _ALONE[job.kind](found, job, with_torch, quick))
            progress.update()
    return dataclasses.replace(found, peak=peak.better(best, peak.measure(seconds)))


def _time(job: Job, sides: Sides, effort: timing.Effort) -> report.Result:
    flops, moved = cost(job)
    return report.Result(job.layer, job.kind, job.which, job.batch, flops, moved, sides.time(job, effort), job.network)


def _note_failures(found: report.Report, job: Job, measure: Any) -> None:
    try:
        measure()
    except (RuntimeError, subprocess.CalledProcessError) as error:
        print(f"bench: {job.label}: {error}", file=sys.stderr)
        found.failures.append(f"{job.label}: {str(error).strip().splitlines()[-1]}")


def _footprints(found: report.Report, job: Job, with_torch: bool, quick: bool) -> None:
    for side in memory.SIDES:
        if with_torch or side not in (TORCH, TUNED):
            found.memory.append(memory.measure(side, job.layer, job.images, *((1, 1) if quick else ())))


def _breakdown(found: report.Report, job: Job, with_torch: bool, quick: bool) -> None:
    found.profile.append(breakdown.measure(job.layer, job.images, 1 if quick else 3))


def _startup(found: report.Report, job: Job, with_torch: bool, quick: bool) -> None:
    found.startup.append(startup.measure(job.layer))


_ALONE = {"memory": _footprints, "profile": _breakdown, "startup": _startup}


def _torch_is_there() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"bench: without PyTorch ({error}); install torch to compare", file=sys.stderr)
        return False
    return True


def _effort(options: argparse.Namespace) -> timing.Effort:
    if options.quick:
        return timing.Effort(repeat=options.repeat or 1, turn=0.0, patience=0.0)
    return timing.Effort(repeat=options.repeat or timing.Effort.repeat, patience=options.patience)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=positive, nargs="+", metavar="N",
                        help=f"images in a batch (default: AlexNet {ALEXNET_BATCHES}, other networks one size each)")
    parser.add_argument("--layers", nargs="+", choices=KINDS, default=KINDS, metavar="KIND",
                        help=f"what to measure: {', '.join(KINDS)} (default: all)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NETWORK",
                        help=f"whose shapes: {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--filter", type=pattern, default=re.compile(""), metavar="REGEX",
                        help='measure only what matches, for example "conv[23] forward" or "paper"')
    parser.add_argument("--repeat", type=positive,
                        help=f"undisturbed samples wanted (default: {timing.Effort.repeat})")
    parser.add_argument("--patience", type=number(least=0), default=timing.Effort.patience, metavar="SECONDS",
                        help="how long to replace disturbed samples, for each line of the table (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="as few calls as possible: does it run at all?")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="do not compare with PyTorch")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"),
                        help="folder for bench.json and bench.png (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
