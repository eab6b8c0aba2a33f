"""The lessons compute: every ``>>>`` in the READMEs of the kernels and in TILE.md gives what it says, and so does the
README of the house."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "kernels").rglob("*.md"))


def test_every_kernel_folder_has_a_lesson():
    folders = {p.parent for p in (ROOT / "kernels").glob("*/reference.py")}
    assert folders <= {p.parent for p in LESSONS}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_lesson_computes(lesson):
    result = doctest.testfile(str(lesson), module_relative=False)
    assert result.attempted > 0 and result.failed == 0


def test_the_program_in_the_readme_runs():
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["x"].grad.numpy().tolist() == [[2, 0], [2, 2]]
    assert 1 < names["loss"].item() < 5  # about ln(10)
