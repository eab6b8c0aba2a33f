"""How a tensor is copied and pickled: by its own device, in the order of its queue."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tensor import Tensor


def deep_copy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """For ``copy.deepcopy``.  CuPy would copy an array in whatever stream is current, before ours has computed it."""
    data = tensor.data
    if id(data) not in memo:
        memo[id(data)] = tensor.device.copy(data, plain=data.flags.c_contiguous)
    twin = memo[id(tensor)] = type(tensor).__new__(type(tensor))
    vars(twin).update(copy.deepcopy(vars(tensor), memo))
    return twin


def state(tensor: Tensor) -> dict[str, Any]:
    """For pickle, which reads the memory of a CPU itself."""
    tensor.device.synchronize()
    return vars(tensor)
