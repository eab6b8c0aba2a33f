"""The linear layer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyconv.kernels import tile
from tinyconv.kernels.linear import cpu, reference

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal


@given(sizes=st.tuples(*(st.integers(1, 9) for _ in range(3))), bias=st.booleans(),
       layouts=st.lists(st.sampled_from(LAYOUTS), min_size=3, max_size=3))
def test_agrees_with_pytorch(device: str, torch: Any, sizes: tuple[int, int, int], bias: bool,
                             layouts: list[str]) -> None:
    n, c, k = sizes
    arrays = [normal(1, n, c), normal(2, k, c), normal(3, k)][:2 + bias]
    agree(torch, device, F.linear, torch.nn.functional.linear, arrays, layouts[:2 + bias])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_agree_with_finite_differences(device: str, layout: str) -> None:
    inputs = [place(a, device, layout, np.float64) for a in (normal(1, 3, 4), normal(2, 2, 4), normal(3, 2))]
    assert tc.gradcheck(F.linear, *inputs)
    assert tc.gradcheck(F.linear, *inputs[:2])


def test_by_hand(device: str) -> None:
    x = tc.tensor([[1.0, 2.0], [3.0, 4.0]], device, requires_grad=True)
    w = tc.tensor([[1.0, 10.0], [0.0, 1.0], [5.0, 0.0]], device, requires_grad=True)
    b = tc.tensor([0.5, -2.0, 0.0], device, requires_grad=True)
    y = F.linear(x, w, b)
    np.testing.assert_array_equal(y.numpy(), [[21.5, 0, 5], [43.5, 2, 15]])
    y.backward(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 10], [5, 2]])
    np.testing.assert_array_equal(w.grad.numpy(), [[1, 2], [6, 8], [3, 4]])
    np.testing.assert_array_equal(b.grad.numpy(), [1, 2, 1])


@pytest.mark.parametrize("images", [1, 3, 8, 9, 33, 70])  # one dot tile; one gather tile and several, of even heights
@pytest.mark.parametrize("inputs", [352, 333])  # whole vectors, and not
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cpu_kernels_of_every_size(monkeypatch: pytest.MonkeyPatch, dtype: str, inputs: int, images: int) -> None:
    """With a depth that cuts sums, and a gradient that counts as large: it goes past the caches where it can."""
    monkeypatch.setattr(cpu, "_DEPTH", 100)
    monkeypatch.setattr(tile, "LARGE", 0)
    device, neurons = tc.device("cpu"), 75
    x, w, b, gy, mask = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate(
        [(images, inputs), (neurons, inputs), (neurons,), (images, neurons), (images, neurons)]))
    expected = [np.empty(a.shape) for a in (gy, x, w, b)]
    reference.forward(x.astype(float), w.astype(float), b, expected[0], relu=True)
    reference.backward_input(gy.astype(float), w.astype(float), expected[1], mask)
    reference.backward_weight(x.astype(float), gy.astype(float), expected[2], expected[3], mask)
    x, gy, mask = (device.upload(a) for a in (x, gy, mask))
    y, gx, gw, gb = (device.upload(np.full_like(a, np.nan), plain=True) for a in (gy, x, w, b))
    device.launch("linear.forward", x, w, b, y, relu=True)
    device.launch("linear.backward_input", gy, w, gx, mask)
    device.launch("linear.backward_weight", x, gy, gw, gb, mask)
    for actual, wanted, name in zip((y, gx, gw, gb), expected, ("y", "gx", "gw", "gb"), strict=True):
        assert_close(actual, wanted, 1e-5 if dtype == "float32" else 1e-13, name)
