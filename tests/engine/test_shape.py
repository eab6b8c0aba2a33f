"""Functions that move data about, and the crossing to other devices and dtypes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F

from ..layouts import LAYOUTS, place
from ..witness import agree, normal

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@given(shape=SHAPES, layout=st.sampled_from(LAYOUTS), data=st.data())
def test_permute_and_reshape_agree_with_pytorch(device: str, torch: Any, shape: tuple[int, ...], layout: str,
                                                data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    cut = data.draw(st.integers(0, len(shape)))

    def move(x: Any) -> Any:
        y = x.permute(*order)
        first = int(np.prod(y.shape[:cut], dtype=int))
        return y.reshape(first, -1).reshape(tuple(y.shape)[::-1]) * x.reshape(-1).reshape(*tuple(y.shape)[::-1])

    agree(torch, device, move, move, [normal(1, *shape)], layout)


@st.composite
def indices(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """Ints, forward slices with steps (all that PyTorch knows), None and an ellipsis.  Nothing empty."""
    shape = draw(SHAPES)
    index: list[Any] = []
    for n in shape[:draw(st.integers(0, len(shape)))]:
        start = draw(st.integers(0, n - 1))
        index.append(draw(st.sampled_from([start, start - n, slice(start, None, draw(st.integers(1, 3))),
                                           slice(None)])))
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), None)
    if len([i for i in index if i is not None]) == len(shape) or draw(st.booleans()):
        index.append(...)
    return shape, tuple(index)


@given(where=indices(), layout=st.sampled_from(LAYOUTS))
def test_slices_agree_with_pytorch(device: str, torch: Any, where: Any, layout: str) -> None:
    shape, index = where
    agree(torch, device, lambda x: x[index] * 2.0, lambda x: x[index] * 2.0, [normal(1, *shape)], layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_single_element(device: str, layout: str) -> None:
    x = place(normal(1, 2, 3), device, layout, np.float32)
    y = x[1, -1]
    assert y.shape == () and y.item() == x.numpy()[1, 2]
    (y * 3.0).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0, 0], [0, 0, 3]])


def test_many_channels_cut_out_and_joined(device: str) -> None:
    """As many as have a copy on all cores: out of one array, into the middle of another."""
    numbers = normal(0, 2, 48, 64, 33)
    x = place(numbers, device)
    pieces = [x[:, 32:], x[:, 5:32], x[::-1, :5, ::-1, ::-1]]
    expected = [numbers[:, 32:], numbers[:, 5:32], numbers[::-1, :5, ::-1, ::-1]]
    np.testing.assert_array_equal(F.cat(pieces, axis=1).numpy(), np.concatenate(expected, axis=1))
    gy = normal(1, 2, 48, 64, 33)
    (F.cat([x[:, 16:], x[:, :16]], axis=1) * place(gy, device, requires_grad=False)).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.concatenate([gy[:, 32:], gy[:, :32]], axis=1))


def test_backward_slices(device: str) -> None:
    x = tc.tensor(np.arange(6.0), device, requires_grad=True)
    y = x[4:0:-2]
    np.testing.assert_array_equal(y.numpy(), [4, 2])
    y.backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 10, 0, 1, 0])


def test_a_tensor_can_be_walked_through(device: str) -> None:
    x = tc.tensor([[1.0, 2.0], [3.0, 4.0]], device)
    assert len(x) == 2 and [row.numpy().tolist() for row in x] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="len"):
        len(tc.tensor(1.0, device))
    with pytest.raises(IndexError, match="(?i)index 2 is out of bounds"):
        x[2]


@given(shape=SHAPES, sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), data=st.data(),
       layout=st.sampled_from(LAYOUTS))
def test_cat_agrees_with_pytorch(device: str, torch: Any, shape: tuple[int, ...], sizes: list[int], data: st.DataObject,
                                 layout: str) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    arrays = []
    for i, n in enumerate(sizes):
        part = list(shape)
        part[axis] = n
        arrays.append(normal(i, *part))
    agree(torch, device, lambda *xs: F.cat(xs, axis=axis), lambda *xs: torch.cat(xs, dim=axis), arrays, layout)


@given(shape=SHAPES, padding=st.lists(st.integers(0, 3), min_size=2, max_size=8), value=st.sampled_from([0.0, -1.5]),
       layout=st.sampled_from(LAYOUTS))
def test_pad_agrees_with_pytorch(device: str, torch: Any, shape: tuple[int, ...], padding: list[int], value: float,
                                 layout: str) -> None:
    padding = padding[:min(len(padding) // 2, len(shape)) * 2]
    agree(torch, device, lambda x: F.pad(x, padding, value),
          lambda x: torch.nn.functional.pad(x, padding, value=value), [normal(1, *shape)], layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flatten_is_in_logical_order_whatever_the_layout(device: str, layout: str) -> None:
    x = np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    t = place(x, device, layout)
    np.testing.assert_array_equal(F.flatten(t).numpy(), x.reshape(2, 12))
    np.testing.assert_array_equal(t.flatten(2).numpy(), x.reshape(2, 3, 4))
    np.testing.assert_array_equal(t.flatten(0).numpy(), x.reshape(-1))
    t.flatten().backward(x.reshape(2, 12))
    np.testing.assert_array_equal(t.grad.numpy(), x)


def test_transpose(device: str) -> None:
    x = tc.tensor(np.arange(6.0).reshape(1, 2, 3), device)
    np.testing.assert_array_equal(x.transpose().numpy(), [[[0, 3], [1, 4], [2, 5]]])
    np.testing.assert_array_equal(x.transpose(0, 1).numpy(), [[[0, 1, 2]], [[3, 4, 5]]])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_agree_with_finite_differences(device: str, layout: str) -> None:
    x = place(normal(1, 2, 3, 2, 2), device, layout, np.float64)
    for f in (lambda x: x.permute(2, 0, 3, 1).reshape(4, 6), lambda x: x[1, ::2], lambda x: F.pad(x, (1, 0, 0, 2)),
              lambda x: F.cat([x, x[:, :1]]), F.flatten, lambda x: x.to("cpu").to("reference").to(device)):
        assert tc.gradcheck(f, x)


@pytest.mark.parametrize("there", ["cpu", "reference"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_to_another_device(device: str, there: str, layout: str) -> None:
    values = normal(1, 2, 3, 4, 2).astype(np.float32)
    x = place(values, device, layout)
    y = x.to(there)
    assert y.device is tc.device(there) and (y is x) == (device == there)
    np.testing.assert_array_equal(y.numpy(), values)
    (y * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(values.shape, 3))
    assert x.grad.device is tc.device(device)


def test_to_another_dtype(device: str) -> None:
    x = tc.tensor([1 / 3, 2.5], device, requires_grad=True)
    y = x.to("float64")
    assert y.dtype == np.float64 and x.to(np.float32) is x
    np.testing.assert_array_equal(y.numpy(), np.float64(np.float32([1 / 3, 2.5])))
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), 2 * np.float32([1 / 3, 2.5]))
    labels = tc.tensor([1.0, 2.0], device).to("int64")
    assert labels.dtype == np.int64 and labels.numpy().tolist() == [1, 2]
    assert labels.to("float32").numpy().tolist() == [1, 2]
