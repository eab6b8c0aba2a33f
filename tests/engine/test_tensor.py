"""Making tensors, reading them, and changing them in place."""

import copy
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import cuda

from ..layouts import LAYOUTS, place
from ..witness import normal


@pytest.mark.parametrize("source, dtype", [
    (1.5, "float32"), ([1, 2], "int64"), (np.float64(2), "float32"), (np.float16([1]), "float32"),
    (np.uint8([3]), "int64"), ([True, False], "int64")])
def test_dtypes_by_default(device: str, source: Any, dtype: str) -> None:
    x = tc.tensor(source, device)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), source)


def test_a_tensor_is_a_copy(device: str) -> None:
    source = np.ones((2, 3, 4, 5), np.float32)
    x = tc.tensor(source, device)
    source[:] = 7
    got = x.numpy()
    got[:] = 8
    np.testing.assert_array_equal(x.numpy(), np.ones((2, 3, 4, 5)))
    np.testing.assert_array_equal(tc.tensor(x, device).numpy(), np.ones((2, 3, 4, 5)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy_gives_a_contiguous_array_in_logical_order(device: str, layout: str) -> None:
    values = normal(1, 2, 3, 4, 5)
    x = place(values, device, layout)
    assert x.numpy().flags.c_contiguous and x.numpy().flags.owndata
    np.testing.assert_array_equal(x.numpy(), values)
    np.testing.assert_array_equal(np.asarray(x), values)
    assert np.asarray(x, np.float32).dtype == np.float32


def test_item_and_shape(device: str) -> None:
    x = tc.tensor([[2.5]], device)
    assert x.item() == 2.5 and isinstance(x.item(), float)
    assert tc.tensor([3], device).item() == 3 and isinstance(tc.tensor([3], device).item(), int)
    assert (x.shape, x.ndim, x.size) == ((1, 1), 2, 1)
    with pytest.raises(ValueError, match=r"item: a tensor of shape \(2,\) has 2 elements, not 1"):
        tc.tensor([1.0, 2.0], device).item()


def test_repr_shows_numbers_device_and_history(device: str) -> None:
    x = tc.tensor([1.0, 2.5], device, requires_grad=True)
    assert repr(x) == f"tensor([1. , 2.5], {device}, requires_grad)"
    assert repr(x * 2) == f"tensor([2., 5.], {device}, made by mul)"
    assert repr(x.detach()) == f"tensor([1. , 2.5], {device})"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copy_overwrites_in_place(device: str, layout: str) -> None:
    x = place(np.zeros((2, 3, 2, 2), np.float32), device, layout)
    data, values = x.data, normal(1, 2, 3, 2, 2).astype(np.float32)
    assert x.copy_(values) is x and x.data is data
    np.testing.assert_array_equal(x.numpy(), values)
    x.copy_(tc.tensor(2 * values, device))
    np.testing.assert_array_equal(x.numpy(), 2 * values)
    with pytest.raises(ValueError, match=r"copy_: source has shape \(3,\), but the tensor has \(2, 3, 2, 2\)"):
        x.copy_(np.ones(3))


def test_a_view_shares_memory_and_version(device: str) -> None:
    x = tc.tensor([[1.0, 2.0], [3.0, 4.0]], device)
    x[0].copy_([8.0, 9.0])
    np.testing.assert_array_equal(x.numpy(), [[8, 9], [3, 4]])
    assert x.version == [1] and x.transpose().version is x.version and (x * 1.0).version == [0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_deep_copy_lies_alike_and_shares_what_was_shared(device: str, layout: str) -> None:
    x = place(normal(1, 2, 3, 4, 5), device, layout)
    x.requires_grad = True
    (x * 2.0).sum().backward()
    twin, again, alias = copy.deepcopy([x, x, x.detach()])
    assert twin is again and twin.requires_grad and twin.device is x.device and alias.version is twin.version
    twin.copy_(np.ones(x.shape))
    np.testing.assert_array_equal(alias.numpy(), np.ones(x.shape))
    np.testing.assert_array_equal(x.numpy(), place(normal(1, 2, 3, 4, 5), device, layout).numpy())
    np.testing.assert_array_equal(twin.grad.numpy(), np.full(x.shape, 2))
    weight = tc.nn.Conv2d(3, 4, 2, device=device).weight
    assert copy.deepcopy(weight).data.strides == weight.data.strides


def test_an_image_lies_as_its_device_likes_it() -> None:
    """Logically NCHW on both; in memory the CPU has the channels of a pixel side by side."""
    values = normal(1, 2, 3, 4, 5)
    fast, plain = tc.tensor(values, "cpu"), tc.tensor(values, "reference")
    assert fast.data.transpose(0, 2, 3, 1).flags.c_contiguous and plain.data.flags.c_contiguous
    np.testing.assert_array_equal(fast.numpy(), plain.numpy())


def test_devices_have_names() -> None:
    assert {"cpu", "reference"} <= set(tc.devices())
    for name in ("cpu", "reference"):
        assert str(tc.device(name)) == name and tc.device(tc.device(name)) is tc.device(name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dlpack_shares_memory_and_holds_its_block(device: str, layout: str) -> None:
    if tc.device(device).kind == "cuda" and not cuda.is_emulated():
        pytest.skip("NumPy reads no memory of a GPU")
    values = normal(1, 2, 3, 20, 20)
    x = place(values, device, layout)
    shared = np.from_dlpack(x)
    np.testing.assert_array_equal(shared, values)
    x.copy_(values + 1)
    x.device.synchronize()
    np.testing.assert_array_equal(shared, values + 1)
    del x
    tc.tensor(np.zeros((2, 3, 20, 20)), device)  # would be given the block, if it were free
    np.testing.assert_array_equal(shared, values + 1)


def test_dlpack_to_pytorch(torch: Any, device: str) -> None:
    x = tc.tensor(normal(1, 2, 3, 4, 5), device)
    np.testing.assert_array_equal(torch.from_dlpack(x).cpu().numpy(), x.numpy())
