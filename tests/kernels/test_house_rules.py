"""What every folder of kernels promises: the same functions in each file, and a definition that owes nothing to the
fast kernel."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest
import tinyconv.kernels

from .launches import LAUNCHES

FOLDER = Path(inspect.getfile(tinyconv.kernels)).parent
LAYERS = sorted(path.parent.name for path in FOLDER.glob("*/reference.py"))


def _exports(module: ModuleType) -> dict[str, str]:
    """name -> signature of each public function.  ``scratch`` is left out: `Device.launch` adds it for those who
    ask."""
    result = {}
    for name, value in vars(module).items():
        function = getattr(value, "py_func", value)  # behind Numba's decorator
        if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name != "scratch"]
        result[name] = str(signature.replace(parameters=parameters))
    return result


def test_the_folders_are_found() -> None:
    assert {"conv", "pool", "lrn", "relu", "dropout", "softmax_cross_entropy", "linear", "elementwise",
            "update"} <= set(LAYERS)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("layer", LAYERS)
def test_every_device_exports_the_functions_of_the_reference(layer: str, kind: str) -> None:
    """Also without CuPy: importing a cuda.py touches nothing but its own text."""
    reference, fast = (_exports(importlib.import_module(f"tinyconv.kernels.{layer}.{name}"))
                      for name in ("reference", kind))
    # philox4x32_10 is part of the definition that its known answers are tested on; the others inline their own.
    extra = {"philox4x32_10"} if layer == "dropout" else set()
    expected = {name: signature for name, signature in reference.items() if name not in extra}
    assert fast == expected


@pytest.mark.parametrize("layer", LAYERS)
def test_every_kernel_is_launched_in_the_tests(layer: str) -> None:
    kernels = {f"{layer}.{name}" for name in _exports(importlib.import_module(f"tinyconv.kernels.{layer}.cpu"))}
    assert kernels <= {name.split()[0] for name in LAUNCHES}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_reference_stands_alone(layer: str) -> None:
    """It imports NumPy, and other definitions, only: not the fast kernel, nor anything that the fast kernel is made
    of."""
    source = (FOLDER / layer / "reference.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imported |= {module} if {alias.name for alias in node.names} != {"reference"} else set()
    assert imported <= {"numpy", "math"}
    assert "im2col" not in source


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_its_lesson(layer: str) -> None:
    lesson = (FOLDER / layer / "README.md").read_text()
    assert lesson.startswith("# ") and len(lesson) > 500


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_kernels_know_nothing_of_what_is_above_them(path: Path) -> None:
    """No autograd in the kernels: relative imports stay inside, and nothing imports tinyconv by name."""
    depth = len(path.relative_to(FOLDER).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= depth and not (node.module or "").startswith("tinyconv")
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("tinyconv") for alias in node.names)
