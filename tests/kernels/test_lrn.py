"""Local response normalisation.  alpha is about 1 here: at the usual 1e-4 a wrong window changes nothing that a test
would see."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal


@example((2, 7, 3, 2), 5, 1.0, 0.75, 2.0, "usual")
@example((1, 7, 1, 1), 4, 1.0, 0.75, 2.0, "usual")  # even: one channel more on the left
@example((1, 3, 2, 2), 9, 2.0, 0.5, 1.0, "sliced")  # a window larger than all channels
@example((1, 1, 1, 1), 1, 1.0, 1.0, 1.0, "usual")
@given(shape=st.tuples(*(st.integers(1, n) for n in (3, 9, 4, 4))), size=st.integers(1, 12), alpha=st.floats(0.5, 2),
       beta=st.sampled_from([0.5, 0.75, 1.0, 1.3]), k=st.floats(0.5, 3), layout=st.sampled_from(LAYOUTS))
def test_agrees_with_pytorch(device: str, torch: Any, shape: tuple[int, ...], size: int, alpha: float, beta: float,
                             k: float, layout: str) -> None:
    agree(torch, device, lambda x: F.local_response_norm(x, size, alpha, beta, k),
          lambda x: torch.nn.functional.local_response_norm(x, size, alpha, beta, k), [normal(1, *shape)], layout)


@pytest.mark.parametrize("size", [1, 2, 5, 6, 11])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_gradients_agree_with_finite_differences(device: str, size: int, beta: float) -> None:
    x = place(normal(1, 2, 7, 2, 1), device, "transposed", np.float64)
    assert tc.gradcheck(lambda x: F.local_response_norm(x, size, alpha=1.5, beta=beta, k=1.2), x)


def test_by_hand(device: str) -> None:
    """Three channels 1, 2, 3; size 3, alpha 3, beta 1, k 1: each is divided by 1 + the squares of itself and
    neighbours."""
    x = tc.tensor(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1), device)
    y = F.local_response_norm(x, 3, alpha=3.0, beta=1.0, k=1.0).numpy().reshape(-1)
    # three correctly rounded float32 operations: 2e-7
    assert_close(y, np.array([1 / (1 + 1 + 4), 2 / (1 + 1 + 4 + 9), 3 / (1 + 4 + 9)]), tol=2e-7)


def test_an_even_window_reaches_one_further_to_the_left(device: str) -> None:
    x = np.zeros((1, 5, 1, 1))
    x[0, 2] = 1.0
    x[0, :, 0, 0] += 1e-3  # something to see in the other channels
    y = F.local_response_norm(tc.tensor(x, device, dtype="float64"), 2, alpha=2.0, beta=1.0, k=1.0).numpy()
    shrunk = (y / x).reshape(-1) < 0.9
    np.testing.assert_array_equal(shrunk, [False, False, True, True, False])  # channels 2 and 3 see channel 2


def test_alpha_is_divided_by_the_size(device: str) -> None:
    """Five channels of ones, size 5: the middle one sees them all, so its base is k + alpha, not k + 5 alpha."""
    y = F.local_response_norm(tc.tensor(np.ones((1, 5, 1, 1)), device), 5, alpha=3.0, beta=1.0, k=1.0)
    assert_close(y.numpy()[0, 2, 0, 0], 1 / 4, tol=2e-7)
