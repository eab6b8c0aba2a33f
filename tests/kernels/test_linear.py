"""The linear layer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F

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
