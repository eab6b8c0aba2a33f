"""The gradient check itself: it must find what is wrong, and say where."""

from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F

from ..layouts import times
from ..witness import normal


class Wrong(tc.Function):
    """a * b, with a backward that is right for a and wrong for one element of b."""

    name = "wrong"

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return times(self.device, a, b)

    def backward(self, gy: Any) -> tuple[Any, Any]:
        a, b = self.saved
        gb = times(self.device, gy, a)
        self.device.launch("elementwise.scale", gb[1:2, 2:3], gb[1:2, 2:3], factor=1.001)
        return times(self.device, gy, b), gb


def wrong(a: tc.Tensor, b: tc.Tensor) -> tc.Tensor:
    return Wrong()(a, b)


def _leaves(device: str, dtype: str = "float64") -> list[tc.Tensor]:
    return [tc.tensor(normal(i, 2, 3) + 3, device, requires_grad=True, dtype=dtype) for i in range(2)]


def test_a_wrong_gradient_is_found_and_named(device: str) -> None:
    """An error of a thousandth in one element, which no plot would show."""
    with pytest.raises(AssertionError,
                       match=r"gradcheck: wrong: argument 1, index \(1, 2\): backward gives .*, finite diff"):
        tc.gradcheck(wrong, *_leaves(device))


def test_only_what_requires_a_gradient_is_checked(device: str) -> None:
    a, b = _leaves(device)
    b.requires_grad = False
    assert tc.gradcheck(wrong, a, b)


def test_a_gradient_that_does_not_come_is_found(device: str) -> None:
    def forgetful(a: tc.Tensor, b: tc.Tensor) -> tc.Tensor:
        return a * b.detach()

    with pytest.raises(AssertionError, match="gradcheck: forgetful: argument 1 got no gradient"):
        tc.gradcheck(forgetful, *_leaves(device))


def test_float32_is_checked_as_sharply_as_it_can_be(device: str) -> None:
    a, b = _leaves(device, "float32")
    assert tc.gradcheck(F.mul, a, b)

    class Double(Wrong):
        def backward(self, gy: Any) -> tuple[Any, Any]:
            a, b = self.saved
            return times(self.device, gy, b, factor=2), times(self.device, gy, a)

    with pytest.raises(AssertionError, match="argument 0"):
        tc.gradcheck(lambda a, b: Double()(a, b), a, b)


def test_without_anything_to_check(device: str) -> None:
    with pytest.raises(ValueError, match="gradcheck: no input requires a gradient"):
        tc.gradcheck(F.exp, tc.tensor([1.0], device))


def test_inputs_are_left_alone(device: str) -> None:
    a, b = _leaves(device)
    before = a.numpy()
    assert tc.gradcheck(F.mul, a, b)
    np.testing.assert_array_equal(a.numpy(), before)
    assert a.grad is None


def test_a_nan_gradient_fails(device: str) -> None:
    """NaN compares False with everything; that must not pass for agreement."""
    class Nan(Wrong):
        def backward(self, gy: Any) -> tuple[Any, Any]:
            return times(self.device, gy, gy, factor=np.nan), times(self.device, gy, self.saved[0])

    with pytest.raises(AssertionError, match=r"argument 0, index \(0, 0\): backward gives nan"):
        tc.gradcheck(lambda a, b: Nan()(a, b), *_leaves(device))
