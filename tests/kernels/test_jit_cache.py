"""Compiled code on disk: loaded while the sources are what they were, and never after an edit of any of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
HELPER = "from .jit import inline\n\n@inline\ndef scale(x):\n    return x * {factor}\n"
KERNEL = """\
from .helper import scale
from .jit import jit, prange

@jit
def kernel(x, y):
    for i in prange(x.size):
        y[i] = scale(x[i])
"""
PROGRAM = """\
import json, sys
import numpy as np
from kernels.tried import kernel
results = []
for dtype in sys.argv[1:] or ["float32"]:
    x = np.array([1, 2], dtype)
    y = np.zeros_like(x)
    kernel(x, y)
    results.append(y.tolist())
stats = kernel.stats
print(json.dumps({"y": results[0], "all": results, "hits": sum(stats.cache_hits.values()),
                  "misses": sum(stats.cache_misses.values()), "folder": stats.cache_path}))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels with a kernel of the test's own, whose helper stands in another file."""
    folder = tmp_path / "kernels"
    shutil.copytree(KERNELS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "helper.py").write_text(HELPER.format(factor=3))
    (folder / "tried.py").write_text(KERNEL)
    return folder


def python(package, program, *arguments, **environment):
    """What a program that finds the package prints last, as JSON."""
    # Python takes its own bytecode for fresh after an edit in the same second that leaves a file as long as it was.
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    inherited["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=package.parent, capture_output=True,
                          text=True, env={**inherited, "PYTHONPATH": str(package.parent), **environment}, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(package, *dtypes, **environment):
    return python(package, PROGRAM, *dtypes, **environment)


def test_the_second_process_loads_and_an_edited_helper_compiles_anew(package):
    first, second = run(package), run(package)
    assert (first["y"], first["hits"], first["misses"]) == ([3, 6], 0, 1)
    assert (second["y"], second["hits"], second["misses"]) == ([3, 6], 1, 0)
    (package / "helper.py").write_text(HELPER.format(factor=5))
    third = run(package)
    assert (third["y"], third["hits"], third["misses"]) == ([5, 10], 0, 1)
    assert run(package)["hits"] == 1


def test_a_file_that_is_only_touched_stays_cached(package):
    run(package)
    (package / "helper.py").touch()  # as a fresh checkout of the same sources would
    assert run(package)["hits"] == 1


def test_code_of_another_signature_is_not_run(package):
    """Two processes that compile at once may write their code to the same file; Numba would run what lies there."""
    types = ("float32", "float64")
    folder = Path(run(package, *types)["folder"])
    first, second = sorted(folder.glob("tried.kernel-*.nbc"))
    code = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(code)
    mixed = run(package, *types)
    assert (mixed["all"], mixed["hits"], mixed["misses"]) == ([[3, 6], [3, 6]], 0, 2)
    mended = run(package, *types)
    assert (mended["all"], mended["hits"], mended["misses"]) == ([[3, 6], [3, 6]], 2, 0)


def test_code_from_before_an_edit_is_not_run_by_who_looks_between_index_and_code(package):
    folder = Path(run(package)["folder"])
    before = {path: path.read_bytes() for path in folder.glob("tried.*.nbc")}
    (package / "helper.py").write_text(HELPER.format(factor=5))
    run(package)
    for path, code in before.items():  # the index is of today, the code still of yesterday
        path.write_bytes(code)
    found = run(package)
    assert (found["y"], found["hits"]) == ([5, 10], 0)


def test_another_folder_for_the_cache(package, tmp_path):
    found = run(package, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert Path(found["folder"]).is_relative_to(tmp_path / "cache") and found["misses"] == 1
    assert run(package, NUMBA_CACHE_DIR=str(tmp_path / "cache"))["hits"] == 1


def test_an_install_that_cannot_be_written_caches_in_the_users_folder(package, tmp_path):
    (package / "__pycache__").touch()  # a file in the folder's place stops root, too
    home = tmp_path / "home"
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    first = run(package, **environment)
    assert Path(first["folder"]).is_relative_to(home) and first["misses"] == 1
    assert run(package, **environment)["hits"] == 1


def test_with_other_internals_numbas_own_cache_serves(package):
    """An older or newer Numba, played by a module whose names are gone."""
    path = package / "jit_cache.py"
    path.write_text(path.read_text().replace("FunctionCache, IndexDataCacheFile", "Elsewhere"))
    first, second = run(package), run(package)
    assert (first["y"], first["misses"], second["y"], second["hits"]) == ([3, 6], 1, [3, 6], 1)


TWINS = """\
from .jit import inline, jit, prange

def adding(number):
    @inline
    def add(x):
        return x + number
    return add

one, ten = adding(1), adding(10)

@jit
def ones(x, y):
    for i in prange(x.size):
        y[i] = one(x[i])

@jit
def tens(x, y):
    for i in prange(x.size):
        y[i] = ten(x[i])

@jit
def both(x, y):
    for i in prange(x.size):
        y[i] = 1000 * one(x[i]) + ten(x[i])
"""
CALL = """\
import sys
import numpy as np
from kernels import twins
x, y = np.ones(3, np.float32), np.zeros(3, np.float32)
for name in sys.argv[1:]:
    getattr(twins, name)(x, y)
print(y.tolist())
"""


def test_functions_that_are_made_alike_are_not_taken_for_one_another(package):
    """Half of what the last process compiles comes from disk, where it has the number that the other half gets here."""
    (package / "twins.py").write_text(TWINS)
    assert python(package, CALL, "ones") == [2, 2, 2]
    assert python(package, CALL, "tens", "both") == [2011, 2011, 2011]
