"""Tensors that hold the same numbers in memory of different shapes."""

from typing import Any

import numpy as np

from tinyconv import Device, Tensor, device

LAYOUTS = ("usual", "row-major", "transposed", "sliced", "flipped")


def place(array: Any, where: str, layout: str = "usual", dtype: Any = None, requires_grad: bool = True) -> Tensor:
    """A leaf that holds ``array``: laid out as the device likes it, row-major, with its axes in another order, as every
    second element of a larger array, or backwards."""
    array, target = np.asarray(array, dtype), device(where)
    if layout == "usual":
        data = target.upload(array)
    elif layout == "row-major":
        data = target.upload(array, plain=True)
    elif layout == "transposed":
        data = target.upload(array.T.copy(), plain=True).T
    elif layout == "sliced":
        larger = np.full([2 * n + 1 for n in array.shape], np.nan, array.dtype)
        inside = (*(slice(1, None, 2) for _ in array.shape), ...)  # with ... a view, even of a single number
        larger[inside] = array
        data = target.upload(larger, plain=True)[inside]
    else:
        backwards = (*(slice(None, None, -1),) * array.ndim, ...)
        data = target.upload(array[backwards].copy(), plain=True)[backwards]
    np.testing.assert_array_equal(target.download(data), array)
    return Tensor(data, target, requires_grad)


def times(device: Device, a: Any, b: Any, factor: float = 1.0) -> Any:
    """factor a b, by the device's kernels: for Functions that tests write."""
    y = device.empty(a.shape, a.dtype)
    device.launch("elementwise.mul", a, b, y)
    device.launch("elementwise.scale", y, y, factor=factor)
    return y
