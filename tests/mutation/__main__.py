"""Make mutants, run the tests on them, and say which survive."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
KERNEL_TESTS, LADDER = "tests/kernels/test_cuda_kernels.py", "tests/kernels/test_cuda_ladder.py"
SELECTED = {  # words in the names of a layer's tests
    "dropout": "dropout or sectors", "elementwise": "Elementwise or sectors or whole", "lrn": "lrn or loud or sectors",
    "lrn_max_pool": "lrn or windows", "pool": "Pooling or largest or windows or pooling or pools",
    "reduce": "Reduce or sectors", "relu": "relu or sectors",
    "softmax_cross_entropy": "Softmax or class or row or sectors", "update": "Update or sectors"}
INVALID, KILLED, TIMEOUT, SURVIVED = "does not compile", "killed", "killed by the clock", "SURVIVED"
_folders: list[str] = []
_PROGRAM = """
import sys
from pathlib import Path
from tinyconv.kernels import gpu
here, mutated = Path({kernels!r}), Path({folder!r})
read = Path.read_text
def of_the_mutant(path, *args, **options):
    inside = path.is_relative_to(here) and path.suffix == ".cu"
    return read(mutated / path.relative_to(here) if inside else path, *args, **options)
Path.read_text = of_the_mutant
gpu.OPTIONS = tuple(f"-I{{mutated}}" if o.startswith("-I") else o for o in gpu.OPTIONS)
import pytest
sys.exit(pytest.main({arguments!r}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    chosen = _choose(options.files, options.per_file, options.seed)
    print(f"{len(chosen)} mutants", flush=True)
    outcomes: Counter[str] = Counter()
    begin = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as workers, open(options.log, "w") as log:
        for mutant, (outcome, told) in zip(chosen, workers.map(lambda m: judge(m, options.timeout), chosen),
                                           strict=True):
            outcomes[outcome] += 1
            log.write(json.dumps({"mutant": str(mutant), "outcome": outcome, "told": told}) + "\n")
            log.flush()
            if outcome == SURVIVED:
                print(f"{outcome}: {mutant}", flush=True)
    killed = outcomes[KILLED] + outcomes[TIMEOUT]
    valid = killed + outcomes[SURVIVED]
    print(f"{killed} of {valid} killed ({100 * killed / max(valid, 1):.1f} %) in {time.monotonic() - begin:.0f} s; "
          + ", ".join(f"{outcome}: {count}" for outcome, count in outcomes.items()))
    return 0


def judge(mutant: Mutant, timeout: float) -> tuple[str, str]:
    """What becomes of a mutant, and the line that says why."""
    with _a_folder() as folder:
        tree = Path(folder, "kernels")
        shutil.copytree(KERNELS, tree, dirs_exist_ok=True, ignore=lambda _, names: [
            name for name in names if Path(name).suffix and Path(name).suffix not in (".cu", ".cuh")])
        (tree / mutant.path.relative_to(KERNELS)).write_text(mutant.text())
        program = _PROGRAM.format(kernels=str(KERNELS), folder=str(tree), arguments=[
            "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", *_tests_of(mutant.path)])
        process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={
                                       **os.environ, "HYPOTHESIS_PROFILE": "ci", "TINYCONV_CUDA": "emulated",
                                       "TINYCONV_CACHE": str(Path(folder, "cache"))})
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return TIMEOUT, f"no end after {timeout:.0f} s"
    told = next((line for line in output.splitlines() if line.startswith("E ") or "Error" in line), output[-300:])
    if "CompileError" in output or "CompileException" in output:
        return INVALID, told
    return (SURVIVED if process.returncode == 0 else KILLED), told[:300]


@contextmanager
def _a_folder() -> Iterator[str]:
    """A folder that one mutant at a time has for itself.  The next finds what was compiled there of the other files."""
    folder = _folders.pop() if _folders else tempfile.mkdtemp(prefix="mutants-")
    yield folder
    _folders.append(folder)


def _tests_of(path: Path) -> list[str]:
    """The tests of the layer that a file belongs to; all of them for a header that several share."""
    layer = path.parent.name
    if layer in ("conv", "linear"):
        return [LADDER, "-k", layer]
    return [KERNEL_TESTS, "-k", SELECTED[layer]] if layer in SELECTED else [KERNEL_TESTS, LADDER]


def _choose(files: Sequence[str], per_file: int, seed: int) -> list[Mutant]:
    """``per_file`` mutants of each file, drawn anew with each seed; all of them if there are no more."""
    chosen = []
    for path in sorted([*KERNELS.rglob("*.cu"), *KERNELS.rglob("*.cuh")]):
        name = path.relative_to(KERNELS).as_posix()
        if not files or any(wanted in name for wanted in files):
            found = sorted(mutants(path), key=lambda mutant: (mutant.begin, mutant.replacement))
            draw = random.Random(f"{seed} {name}")
            chosen += sorted(draw.sample(found, min(per_file, len(found))), key=lambda mutant: mutant.begin)
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", help="only files whose names contain one of these")
    parser.add_argument("--per-file", type=int, default=15, help="mutants of each file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws others")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--timeout", type=float, default=180, help="seconds after which a mutant counts as killed")
    parser.add_argument("--log", default="mutants.jsonl", help="what became of each (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
