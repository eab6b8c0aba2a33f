"""Promises about the code itself: how long the engine is, and what importing it costs."""

import subprocess
import sys
from pathlib import Path

import tinyconv as tc

PACKAGE = Path(tc.__file__).parent


def test_the_engine_can_be_read_in_an_evening() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in ("tensor.py", "function.py")}
    assert sum(lines.values()) <= 300, lines


def _modules_after(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{program}\nimport sys\nprint(*sorted(sys.modules))"],
                          capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_brings_nothing_heavy() -> None:
    """Neither a compiler, nor a driver, nor a plotting library: those come with the first use of what needs them."""
    loaded = _modules_after("import tinyconv, tinyconv.functional")
    heavy = {"cupy", "numba", "llvmlite", "scipy", "h5py", "PIL", "matplotlib", "torch", "onnx", "tqdm", "mpi4py"}
    assert not loaded & heavy
    assert {"numpy", "tinyconv.nn", "tinyconv.models.alexnet"} <= loaded


def test_importing_is_little_more_than_importing_numpy() -> None:
    """Counted in modules, which no busy machine disturbs: a hundred more would be a library that slipped in."""
    extra = _modules_after("import tinyconv") - _modules_after("import numpy")
    assert len({name for name in extra if not name.startswith("tinyconv")}) < 40


def test_the_reference_device_needs_no_compiler() -> None:
    loaded = _modules_after("""
import numpy as np, tinyconv as tc, tinyconv.functional as F
x = tc.tensor(np.ones((1, 2, 5, 5)), "reference", requires_grad=True)
layer = tc.nn.Conv2d(2, 3, 3, device="reference")
F.cross_entropy(F.flatten(F.max_pool2d(F.relu(layer(x)), 3)), [0]).backward()
assert x.grad is not None""")
    assert "numba" not in loaded


def test_nothing_above_the_kernels_touches_an_element() -> None:
    """NumPy's arithmetic belongs into kernels/: the engine computes by launches only."""
    forbidden = ("np.exp(", "np.maximum(", "np.einsum(", "np.matmul(", "np.sum(", "np.dot(", "np.tensordot(")
    for path in [*PACKAGE.glob("functional/*.py"), PACKAGE / "function.py", PACKAGE / "tensor.py",
                 PACKAGE / "optim.py"]:
        assert not [word for word in forbidden if word in path.read_text()], path.name
