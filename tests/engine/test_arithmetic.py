"""Arithmetic with broadcasting, and reductions."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal

BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}


@pytest.mark.parametrize("name", BINARY)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4),
       layouts=st.lists(st.sampled_from(LAYOUTS), min_size=2, max_size=2))
def test_binary_operations_agree_with_pytorch(device: str, torch: Any, name: str, shapes: Any,
                                              layouts: list[str]) -> None:
    a, b = (normal(i, *shape) for i, shape in enumerate(shapes.input_shapes))
    if 0 in a.shape or 0 in b.shape:
        return
    b = np.where(np.abs(b) < 0.3, 0.3, b)  # 1/b**2 must not drown everything else
    agree(torch, device, BINARY[name], BINARY[name], [a, b], layouts)


@pytest.mark.parametrize("name", ["exp", "log", "neg", "square", "cube", "root", "reciprocal"])
@given(shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), layout=st.sampled_from(LAYOUTS))
def test_unary_operations_agree_with_pytorch(device: str, torch: Any, name: str, shape: tuple[int, ...],
                                             layout: str) -> None:
    def apply(x: Any) -> Any:
        return {"exp": lambda: x.exp(), "log": lambda: x.log(), "neg": lambda: -x, "square": lambda: x ** 2,
                "cube": lambda: x ** 3, "root": lambda: x ** 0.5, "reciprocal": lambda: 1 / x}[name]()

    agree(torch, device, apply, apply, [np.abs(normal(1, *shape)) + 0.3], layout)


@st.composite
def shapes_and_axes(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    signed = [a - len(shape) if draw(st.booleans()) else a for a in axes]
    return shape, draw(st.sampled_from([None, signed[0], tuple(signed)]))


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@given(where=shapes_and_axes(), keepdims=st.booleans(), layout=st.sampled_from(LAYOUTS))
def test_reductions_agree_with_pytorch(device: str, torch: Any, name: str, where: Any, keepdims: bool,
                                       layout: str) -> None:
    shape, axis = where
    axes = tuple(range(len(shape))) if axis is None else axis
    theirs = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[name]
    agree(torch, device, lambda x: getattr(x, name)(axis=axis, keepdims=keepdims),
          lambda x: theirs(x, dim=axes, keepdim=keepdims), [normal(1, *shape)], layout)


def test_equal_maxima_share_the_gradient(device: str, torch: Any) -> None:
    agree(torch, device, lambda x: x.max(axis=1), lambda x: torch.amax(x, dim=1), [np.array([[1.0, 3, 3], [2, 2, 2]])])


@given(sizes=st.tuples(*(st.integers(1, 6) for _ in range(3))),
       layouts=st.lists(st.sampled_from(LAYOUTS), min_size=2, max_size=2))
def test_matmul_agrees_with_pytorch(device: str, torch: Any, sizes: tuple[int, int, int], layouts: list[str]) -> None:
    m, k, n = sizes
    agree(torch, device, operator.matmul, operator.matmul, [normal(1, m, k), normal(2, k, n)], layouts)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_agree_with_finite_differences(device: str, layout: str) -> None:
    a = place(np.abs(normal(1, 2, 1, 3, 2)) + 0.5, device, layout, np.float64)
    column = place(a.numpy()[..., :1], device, layout)  # 2 1 3 1
    b = place(np.abs(normal(2, 3, 1, 2)) + 0.5, device, layout, np.float64)  # (1) 3 1 2: both sides broadcast
    for operation in BINARY.values():
        assert tc.gradcheck(operation, column, b)
        assert tc.gradcheck(operation, b, column)
    for unary in (F.exp, F.log, F.neg, lambda x: x ** 2.5, lambda x: x ** -1, F.sum, F.mean, F.max,
                  lambda x: x.sum(axis=(0, 2)), lambda x: x.mean(axis=1, keepdims=True), lambda x: x.max(axis=(1, 3))):
        assert tc.gradcheck(unary, a)
    assert tc.gradcheck(F.matmul, place(normal(1, 2, 3), device, layout, np.float64),
                        place(normal(2, 3, 4), device, layout, np.float64))


def test_by_hand(device: str) -> None:
    a = tc.tensor([[1.0, 2.0], [3.0, 4.0]], device, requires_grad=True)
    b = tc.tensor([10.0, 20.0], device, requires_grad=True)
    y = a * b + a / b - b
    assert_close(y.numpy(), np.array([[10 + 0.1 - 10, 40 + 0.1 - 20], [30 + 0.3 - 10, 80 + 0.2 - 20]]), tol=1e-6)
    y.sum().backward()
    # gradient of b: the column sums of a, minus those of a/b**2, minus 1 for each row
    assert_close(b.grad.numpy(), np.array([4 - 0.04 - 2, 6 - 0.015 - 2]), tol=1e-6)  # a few operations in float32
    assert_close(a.grad.numpy(), np.array([[10.1, 20.05]] * 2), tol=1e-6)


def test_numbers_and_arrays_stand_on_either_side(device: str) -> None:
    x = tc.tensor([2.0, 4.0], device)
    array = np.array([1.0, 2.0])
    for result, expected in [(x + 1, [3, 5]), (1 + x, [3, 5]), (x - 1, [1, 3]), (1 - x, [-1, -3]), (x * 3, [6, 12]),
                             (3 * x, [6, 12]), (x / 2, [1, 2]), (8 / x, [4, 2]), (x ** 2, [4, 16]), (-x, [-2, -4]),
                             (x - array, [1, 2]), (array - x, [-1, -2]), (np.float32(8) / x, [4, 2]),
                             (x ** np.int64(2), [4, 16])]:
        assert isinstance(result, tc.Tensor) and result.dtype == np.float32 and result.device is x.device
        np.testing.assert_array_equal(result.numpy(), expected)


def test_a_number_keeps_the_dtype(device: str) -> None:
    x = tc.tensor([1.0], device, dtype="float64")
    assert (x + 0.1).numpy()[0] == 1.1 and (x * np.float32(2)).dtype == np.float64


def test_max_of_nan_is_nan(device: str) -> None:
    x = tc.tensor([[1.0, np.nan, 2.0], [5.0, 4.0, 3.0]], device, requires_grad=True)
    y = x.max(axis=1)
    np.testing.assert_array_equal(y.numpy(), [np.nan, 5])
    y.backward(np.array([1.0, 1.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 0], [1, 0, 0]])
