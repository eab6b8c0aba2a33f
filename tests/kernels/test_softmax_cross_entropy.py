"""Softmax, its logarithm, and the cross-entropy loss."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal


@st.composite
def shapes_and_axes(draw: st.DrawFn) -> tuple[tuple[int, ...], int]:
    """At least two along the axis: of one alone the gradient is 0, and nothing but rounding could be compared."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = draw(st.integers(2, 6))
    return tuple(shape), axis


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(where=shapes_and_axes(), layout=st.sampled_from(LAYOUTS))
def test_agree_with_pytorch(device: str, torch: Any, name: str, where: tuple[tuple[int, ...], int],
                            layout: str) -> None:
    shape, axis = where
    agree(torch, device, lambda x: getattr(F, name)(x, axis=axis),
          lambda x: getattr(torch.nn.functional, name)(x, dim=axis), [3 * normal(1, *shape)], layout)


@given(n=st.integers(1, 6), c=st.integers(2, 9), smoothing=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
       layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 1000))
def test_cross_entropy_agrees_with_pytorch(device: str, torch: Any, n: int, c: int, smoothing: float, layout: str,
                                           seed: int) -> None:
    target = np.random.default_rng(seed).integers(0, c, n)
    agree(torch, device, lambda x: F.cross_entropy(x, target, smoothing),
          lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(target), label_smoothing=smoothing),
          [3 * normal(1, n, c)], layout)


@pytest.mark.parametrize("shape, axis", [((2, 5), 1), ((2, 3, 2, 2), 1), ((3, 2, 2, 1), 0), ((4,), 0), ((2, 3, 4), -1)])
def test_gradients_agree_with_finite_differences(device: str, shape: tuple[int, ...], axis: int) -> None:
    x = place(normal(1, *shape), device, "transposed", np.float64)
    assert tc.gradcheck(lambda x: F.softmax(x, axis), x)
    assert tc.gradcheck(lambda x: F.log_softmax(x, axis), x)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_of_cross_entropy_agrees_with_finite_differences(device: str, smoothing: float) -> None:
    x = place(normal(1, 3, 4), device, "sliced", np.float64)
    assert tc.gradcheck(lambda x: F.cross_entropy(x, [0, 3, 3], smoothing), x)


def test_by_hand(device: str) -> None:
    """Logits ln 1, ln 2, ln 5 have probabilities 1/8, 2/8, 5/8."""
    x = tc.tensor(np.log([[1.0, 2.0, 5.0]]), device, requires_grad=True)
    p = np.array([[1, 2, 5]]) / 8
    # A few float32 operations of numbers near 1: 1e-6
    assert_close(F.softmax(x).numpy(), p, tol=1e-6)
    assert_close(F.log_softmax(x).numpy(), np.log(p), tol=1e-6)
    loss = F.cross_entropy(x, [1])
    assert loss.shape == () and loss.item() == pytest.approx(math.log(4), rel=1e-6)
    loss.backward()
    assert_close(x.grad.numpy(), p - [[0, 1, 0]], tol=1e-6)
    # smoothing 0.3: 0.8 for the target and 0.1 for each other
    smoothed = F.cross_entropy(x, [1], label_smoothing=0.3).item()
    assert smoothed == pytest.approx(-(0.8 * math.log(1 / 4) + 0.1 * math.log(1 / 8) + 0.1 * math.log(5 / 8)), rel=1e-6)


def test_the_loss_is_a_mean_over_the_batch(device: str) -> None:
    x = normal(1, 4, 3)
    alone = [F.cross_entropy(tc.tensor(x[i:i + 1], device, dtype="float64"), [i % 3]).item() for i in range(4)]
    together = F.cross_entropy(tc.tensor(x, device, dtype="float64"), [0, 1, 2, 0]).item()
    assert together == pytest.approx(np.mean(alone), rel=1e-12)  # double precision


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_network_that_knows_nothing_loses_ln_of_the_classes(device: str, classes: int) -> None:
    loss = F.cross_entropy(tc.tensor(np.full((3, classes), 0.25), device), [0, 1, classes - 1])
    assert loss.item() == pytest.approx(math.log(classes), rel=1e-6)


@pytest.mark.parametrize("axis", [1, 3])
def test_stable_for_huge_logits(device: str, axis: int) -> None:
    """exp(10,000) overflows even in double precision; the largest logit is taken off first."""
    x = np.full((1, 2, 1, 2), -1e4)
    x[0, 1, 0, 1] = 1e4
    t = tc.tensor(x, device)
    expected = np.full((1, 2, 1, 2), 0.5)
    expected[(0, slice(None), 0, 1) if axis == 1 else (0, 1, 0)] = [0, 1]
    np.testing.assert_array_equal(F.softmax(t, axis).numpy(), expected)
    log = F.log_softmax(t, axis).numpy()
    assert log.min() == -2e4 and log.max() == 0
    logits = tc.tensor([[1e4, -1e4], [-1e4, 1e4]], device, requires_grad=True)
    loss = F.cross_entropy(logits, [0, 0])
    assert loss.item() == 1e4  # the mean of 0 and 20,000
    loss.backward()
    np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0], [-0.5, 0.5]])


def test_a_class_that_is_ruled_out(device: str) -> None:
    """A logit of -inf has probability 0; the loss of the others is what it would be without it."""
    logits = tc.tensor([[0.0, -np.inf, 0.0]], device, requires_grad=True)
    loss = F.cross_entropy(logits, [2])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    np.testing.assert_array_equal(logits.grad.numpy(), [[0.5, 0, -0.5]])


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.uint8, np.int32, "tensor"])
def test_labels_may_come_in_many_forms(device: str, kind: Any) -> None:
    labels = tc.tensor([2, 0], device) if kind == "tensor" else (
        np.array([2, 0], kind) if isinstance(kind, type) and issubclass(kind, np.generic) else kind([2, 0]))
    x = tc.tensor(np.log([[1.0, 1.0, 2.0], [4.0, 2.0, 2.0]]), device)
    assert F.cross_entropy(x, labels).item() == pytest.approx(math.log(2), rel=1e-6)
