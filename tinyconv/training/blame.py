"""Where a number first stopped being one.

A step that failed is done once more, layer by layer, and everything that a layer makes is looked at.  That is slow, and
done once, before the run ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..function import Function, topological_order
from ..nn import Module
from ..nn.module import observers
from ..tensor import Tensor, tensor


def bad_parameters(model: Module) -> list[str]:
    """The names of parameters with an inf or NaN in them."""
    return [name for name, p in model.named_parameters() if _bad(p.numpy())]


def first_bad(model: Module, images: np.ndarray, labels: np.ndarray, device: Any, label_smoothing: float = 0.0,
              backward: bool = True) -> str | None:
    """What was the first to have an inf or NaN in it: the pixels, the result of a layer, or a gradient; in words, or
    None if nothing has.

    The model must be as it was before the step, with the same dropout masks ahead; its gradients are changed."""
    if _bad(images):
        return f"first in the pixels of the batch: {_count(images)}"
    names = {id(module): name for name, module in model.named_modules()}
    owners: dict[int, str] = {}  # a Function -> the layer that called it
    found: list[str] = []

    def look(module: Module, result: Tensor) -> None:
        if not isinstance(result, Tensor):
            return
        title = f"{names.get(id(module)) or 'the network'} ({type(module).__name__})"
        if result.creator is not None:
            owners.setdefault(id(result.creator), title)  # inner modules come before those around them
        if not found and _bad(values := result.numpy()):
            found.append(f"first in the output of {title}: {_count(values)}")

    observers.functions.append(look)
    try:
        logits = model(tensor(images, device))
    finally:
        observers.functions.remove(look)
    loss = F.cross_entropy(logits, labels, label_smoothing)
    if not found and _bad(loss.numpy()):
        found.append("first in the loss; all layers are finite")
    if found or not backward or loss.creator is None:
        return found[0] if found else None
    _watch_backward(topological_order(loss.creator), owners,
                    {id(p): name for name, p in model.named_parameters()}, found)
    loss.backward()
    return found[0] if found else None


def _watch_backward(functions: list[Function], owners: dict[int, str], parameters: dict[int, str],
                    found: list[str]) -> None:
    """Let each of the functions look at the gradients that it makes, and put the first that is bad into ``found``."""

    def watched(function: Function, title: str) -> Any:
        run = function.run_backward

        def run_and_look(gy: Any) -> Any:
            gradients = run(gy)
            for t, g in zip(function.inputs, gradients, strict=True):
                if not found and t is not None and g is not None and _bad(values := t.device.download(g)):
                    whose = parameters.get(id(t), f"the input of {title}")
                    found.append(f"first in the gradient of {whose}: {_count(values)}")
            return gradients

        return run_and_look

    layer = "the loss"
    for function in reversed(functions):
        layer = owners.get(id(function), layer)
        title = layer if id(function) in owners else f"{function.name}, in or before {layer}"
        function.run_backward = watched(function, title)  # type: ignore[method-assign]


def _bad(values: np.ndarray) -> bool:
    return not np.isfinite(values).all()


def _count(values: np.ndarray) -> str:
    nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    kinds = " and ".join(f"{count:,} {kind}" for count, kind in ((nan, "nan"), (inf, "inf")) if count)
    return f"{kinds} among {values.size:,} numbers"
