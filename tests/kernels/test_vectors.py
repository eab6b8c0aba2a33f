"""The functions against vectors that PyTorch computed once: see tests/vectors/README.md.  Needs no PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import place

VECTORS = np.load(Path(__file__).parents[1] / "vectors" / "functions.npz")
CASES = sorted({name.split(".")[0] for name in VECTORS.files if name.endswith(".function")})


def test_all_cases_are_there() -> None:
    assert len(CASES) == 16


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_vectors(device: str, case: str, dtype: Any) -> None:
    function, options = str(VECTORS[f"{case}.function"]), json.loads(str(VECTORS[f"{case}.options"]))
    if "dim" in options:
        options["axis"] = options.pop("dim")
    xs = []
    while f"{case}.x{len(xs)}" in VECTORS:
        xs.append(place(VECTORS[f"{case}.x{len(xs)}"], device, dtype=dtype))
    y = getattr(F, function)(*xs, **options)
    assert_close(y.numpy(), VECTORS[f"{case}.y"], what="value")
    y.backward(VECTORS[f"{case}.gy"])
    for i, x in enumerate(xs):
        assert_close(x.grad.numpy(), VECTORS[f"{case}.gx{i}"], what=f"gradient {i}")
