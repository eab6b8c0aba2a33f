"""What the compiler makes of the CUDA kernels, held to promises and to the figures of benchmarks/cuda/budget.json."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tinyconv.kernels.gpu import ladder

from benchmarks.cuda import budget, compiler, figures
from benchmarks.cuda.architectures import ARCHITECTURES
from benchmarks.cuda.figures import Figures
from benchmarks.cuda.functions import compiled
from benchmarks.cuda.launches import Launch, launches

pytestmark = pytest.mark.skipif(compiler.unavailable() is not None, reason=str(compiler.unavailable()))
KERNELS = Path(__file__).resolve().parents[2] / "kernels"
PROMISED = (80, 90)


@pytest.fixture(scope="module")
def launched() -> list[tuple[Launch, int]]:
    return [(launch, architecture) for architecture in ARCHITECTURES for launch in launches(architecture)]


@pytest.fixture(scope="module")
def measured(launched: list[tuple[Launch, int]]) -> list[Figures]:
    """Of every kernel for all six architectures: that they compile is half of what is tested."""
    return figures.measure(launched)


def test_every_kernel_of_every_file_is_launched(launched: list[tuple[Launch, int]]) -> None:
    """By the calls of benchmarks/cuda/calls.py, which a new kernel needs one of."""
    programs = {launch.program for launch, architecture in launched if architecture == 80}
    files = {f"{path.parent.name}/{path.name}" for path in KERNELS.rglob("*.cu")}
    assert {program.file for program in programs} == files
    there = {(program.file, kernel) for (program, _), kernels in compiled((each, 80) for each in programs).items()
             for kernel in kernels}
    assert there == {(launch.program.file, launch.kernel) for launch, architecture in launched if architecture == 80}


def test_every_kernel_is_built_for_every_architecture(measured: list[Figures]) -> None:
    built = {(each.kernel, each.architecture) for each in measured}
    missing = {(kernel, architecture) for kernel, _ in built for architecture in ARCHITECTURES} - built
    assert {kernel for kernel, architecture in missing if architecture != 75} == set()
    assert all("tf32" in kernel for kernel, _ in missing)  # sm_75 has no TF32


def test_nothing_spills(measured: list[Figures]) -> None:
    spilling = [(each.kernel, each.architecture) for each in measured
                if each.architecture in PROMISED and (each.spills or each.stack)]
    assert spilling == []


def test_nothing_spills_in_double_precision(launched: list[tuple[Launch, int]]) -> None:
    """Where gradients are checked, by the kernels that are written for REAL."""
    doubles = [(with_double(launch), architecture) for launch, architecture in launched
               if architecture in PROMISED and "ROWS=" not in launch.name]
    assert len(doubles) > 100
    assert [(each.kernel, each.architecture) for each in figures.measure(doubles) if each.spills or each.stack] == []


def with_double(launch: Launch) -> Launch:
    options = tuple(option.replace("REAL=float", "REAL=double") for option in launch.program.options)
    assert options != launch.program.options
    return dataclasses.replace(launch, program=dataclasses.replace(launch.program, options=options))


def test_every_kernel_can_be_launched(measured: list[Figures]) -> None:
    """A block fits on an SM of each architecture."""
    assert [(each.kernel, each.architecture, each.occupancy_limiter) for each in measured if not each.blocks] == []


@pytest.mark.parametrize("architecture", PROMISED)
@pytest.mark.parametrize("function", ladder.RUNGS)
def test_the_default_rung_multiplies_and_adds(function: str, architecture: int, launched: list[tuple[Launch, int]],
                                              measured: list[Figures]) -> None:
    """At least 85 % of its hot loop are multiply-adds, and nothing else bounds it below 85 % of the FP32 peak."""
    asked = f"{function}={ladder.chosen(function, np.float32)}"
    of_rung = [found for (launch, on), found in zip(launched, measured, strict=True)
               if launch.asked == asked and on == architecture and found.multiplies]
    assert len(of_rung) == 1
    assert of_rung[0].fma_share >= 0.85 and of_rung[0].ceiling >= 0.85


@pytest.mark.parametrize("architecture", PROMISED)
def test_every_large_tile_multiplies_and_adds(architecture: int, measured: list[Figures]) -> None:
    """So do all its variants, for passes that mask the gradient and for rows that are not aligned."""
    shares = {each.kernel: min(each.fma_share, each.ceiling) for each in measured if each.architecture == architecture
              and "ROWS=128 COLUMNS=128" in each.kernel and "tf32" not in each.kernel}
    assert len(shares) >= 11 and sum("MASKED=1" in kernel for kernel in shares) >= 6
    assert {kernel: share for kernel, share in shares.items() if share < 0.85} == {}


def test_no_figure_is_worse_than_the_budget(measured: list[Figures]) -> None:
    made_with, allowed = budget.read()
    if made_with != compiler.version():
        pytest.skip(f"the budget is for NVRTC {made_with}, and here is {compiler.version()}: pip install "
                    f"nvidia-cuda-nvrtc=={made_with}, or python -m benchmarks.cuda --update-budget")
    worse = list(budget.overruns(measured, allowed))
    assert not worse, "\n".join([*worse, "if that is meant: python -m benchmarks.cuda --update-budget"])


def made_up(**changes: object) -> Figures:
    good = Figures(kernel="k", architecture=80, threads=128, registers=100, stack=0, spills=0, shared=1024,
                   dynamic_shared=0, blocks=4, occupancy=0.25, occupancy_limiter="registers", looped=True,
                   instructions=100, fma=90, shared_bytes_per_fma=1.0, global_bytes_per_fma=0.1, ceiling=0.9,
                   ceiling_limiter="issue", tensor=False, load_bytes=16.0, loads_in_flight=4)
    return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(("change", "named"), [
    ({"registers": 101}, "registers is 101, the budget 100"), ({"spills": 1}, "spills"), ({"shared": 1025}, "shared"),
    ({"dynamic_shared": 4}, "shared"), ({"occupancy": 0.2}, "occupancy"), ({"fma": 89}, "fma_share"),
    ({"ceiling": 0.89}, "ceiling"), ({"shared_bytes_per_fma": 1.1}, "shared_bytes_per_fma"),
    ({"global_bytes_per_fma": 0.2}, "global_bytes_per_fma"), ({"looped": False}, "multiply-adds"),
    ({"kernel": "other"}, "other: not in the budget")])
def test_each_figure_is_held_to_the_budget(change: dict[str, object], named: str) -> None:
    allowed = budget.lines([made_up()])
    assert any(named in line for line in budget.overruns([made_up(**change)], allowed))


def test_better_figures_are_within_the_budget() -> None:
    allowed = budget.lines([made_up()])
    assert list(budget.overruns([made_up()], allowed)) == []
    better = made_up(registers=90, shared=0, occupancy=0.5, fma=95, ceiling=0.95, global_bytes_per_fma=0.05)
    assert list(budget.overruns([better], allowed)) == []


def test_the_file_keeps_version_and_figures(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    both = [made_up(), made_up(architecture=90, registers=90), made_up(kernel="straight", looped=False)]
    budget.write(both, "1.2.3", path)
    assert budget.read(path) == ("1.2.3", budget.lines(both))
    assert json.loads(path.read_text())["kernels"]["k"]["90"]["registers"] == 90
    assert "ceiling" not in budget.read(path)[1]["straight"]["80"]
