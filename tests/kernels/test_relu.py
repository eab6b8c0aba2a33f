"""The rectified linear unit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F

from ..layouts import LAYOUTS, place
from ..witness import agree, normal

SHAPES = st.lists(st.integers(1, 5), min_size=0, max_size=5).map(tuple)


@given(shape=SHAPES, layout=st.sampled_from(LAYOUTS))
def test_agrees_with_pytorch(device: str, torch: Any, shape: tuple[int, ...], layout: str) -> None:
    agree(torch, device, F.relu, torch.nn.functional.relu, [normal(1, *shape)], layout)


def test_gradient_agrees_with_finite_differences(device: str) -> None:
    x = normal(1, 2, 3, 2, 2)
    assert np.abs(x).min() > 1e-3  # away from the kink
    assert tc.gradcheck(F.relu, place(x, device, "transposed", np.float64))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_by_hand(device: str, layout: str) -> None:
    """At 0 itself the derivative is 0; NaN is not turned into 0, for then a network that has broken down would go
    on."""
    x = place(np.array([-2.0, -0.0, 0.0, 3.0, np.nan, np.inf, -np.inf]), device, layout, np.float32)
    y = F.relu(x)
    np.testing.assert_array_equal(y.numpy(), [0, 0, 0, 3, np.nan, np.inf, 0])
    y.backward(np.arange(1.0, 8.0))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0, 4, 0, 6, 0])
