"""What a kernel has made of a parameter, kept for as long as the parameter stays the same and nothing is recorded.

Some kernels want weights in another order, or transformed, and make that anew in each call: in training the weights
change with every step.  Under ``no_grad`` they do not, so what was made is kept beside the tensor, and the next call
finds it.  It is dropped when the tensor changes (its version tells), dies, or is trained again.  Who writes to its
memory past the tensor, through ``.data`` or DLPack, must count the version up.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..grad_mode import is_grad_enabled
from ..tensor import Tensor

_kept: WeakKeyDictionary[Tensor, tuple[int, Any, dict[Any, Any]]] = WeakKeyDictionary()


def kept_of(weight: Tensor) -> dict[Any, Any] | None:
    """Where a kernel may keep what it makes of ``weight``, under keys of its own.  None while a graph is recorded."""
    if is_grad_enabled():
        _kept.pop(weight, None)
        return None
    version, data, found = _kept.get(weight, (None, None, {}))
    if version != weight.version[0] or data is not weight.data:
        found = {}
        _kept[weight] = weight.version[0], weight.data, found
    return found
