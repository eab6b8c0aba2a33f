"""Each pass of each layer as PyTorch runs it: as installed (NCHW), or tuned (channels_last where asked for,
``SGD(fused=True)``); no autograd where its operators can be called directly.

``layers.py`` does the same in tinyconv.  Imported only where PyTorch is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from . import shapes
from .layers import SGD, Numbers, Side
from .shapes import FORWARD, INPUT

aten = torch.ops.aten


class Data(dict[str, Any]):
    """The numbers of a case, and how PyTorch shall hold them."""

    channels_last = False
    fused = False
    where = "cpu"


def side(layer: shapes.Layer, which: str, data: Numbers, channels_last: bool = False, fused: bool = False,
         where: str = "cpu") -> Side:
    """The pass ``which`` of ``layer`` on these numbers, by PyTorch on its device ``where``.  ``fused`` is for the
    update."""
    held = Data(data)
    held.channels_last, held.fused, held.where = channels_last, fused, where
    return _KINDS[layer.kind](layer, which, held)


def _call(names: str, function: Callable[[], Any]) -> Side:
    """A Side that keeps what ``function`` returned; ``names`` says what its (one or more) tensors are."""
    kept: list[Any] = [None]

    def run() -> None:
        kept[0] = None  # free the last result first: at most one exists, as in a training step
        kept[0] = function()

    def result() -> dict[str, np.ndarray]:
        tensors = kept[0] if isinstance(kept[0], tuple) else (kept[0],)
        return {name: t.detach().cpu().numpy() for name, t in zip(names.split(), tensors, strict=True)}

    return Side(run, result)


def _forward(function: Callable[[], Any]) -> Side:
    with_no_graph = torch.no_grad()(function)
    return _call("y", with_no_graph)


def _autograd(x: torch.Tensor, gy: torch.Tensor | None, function: Callable[[torch.Tensor], torch.Tensor]) -> Side:
    """The input gradient through autograd, for functions whose backward operator cannot be called by itself."""
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    return _call("gx", lambda: torch.autograd.grad(y, leaf, gy, retain_graph=True)[0])


def _pass(which: str, x: torch.Tensor, gy: torch.Tensor | None,
          function: Callable[[torch.Tensor], torch.Tensor]) -> Side:
    """The forward pass, or the input gradient through autograd."""
    return _forward(lambda: function(x)) if which == FORWARD else _autograd(x, gy, function)


def _tensors(data: Data, *names: str) -> list[torch.Tensor]:
    tensors = [torch.from_numpy(data[name]).to(data.where) for name in names]
    return [t.contiguous(memory_format=torch.channels_last) if data.channels_last and t.dim() == 4 else t
            for t in tensors]


def _conv(layer: shapes.Conv, which: str, data: Data) -> Side:
    x, weight, bias, gy = _tensors(data, "x", "weight", "bias", "gy")
    stride, padding = [layer.stride] * 2, [layer.padding] * 2
    if which == FORWARD:
        return _forward(lambda: F.conv2d(x, weight, bias, stride, padding, groups=layer.groups))

    def backward(*mask: bool) -> Any:
        return aten.convolution_backward(gy, x, weight, [layer.filters], stride, padding, [1, 1], False, [0, 0],
                                         layer.groups, list(mask))

    if which == INPUT:
        return _call("gx", lambda: backward(True, False, False)[0])
    return _call("gw gb", lambda: backward(False, True, True)[1:])


def _linear(layer: shapes.Linear, which: str, data: Data) -> Side:
    x, weight, bias, gy = _tensors(data, "x", "weight", "bias", "gy")
    if which == FORWARD:
        return _forward(lambda: F.linear(x, weight, bias))
    if which == INPUT:
        return _call("gx", lambda: gy.mm(weight))
    return _call("gw gb", lambda: (gy.t().mm(x), gy.sum(0)))


def _pool(layer: shapes.Pool, which: str, data: Data) -> Side:
    x, gy = _tensors(data, "x", "gy")
    window = [layer.kernel] * 2, [layer.stride] * 2, [0, 0], [1, 1], True
    if which == FORWARD:  # with the places of the maxima, as in training
        return _forward(lambda: aten.max_pool2d_with_indices(x, *window)[0])
    places = aten.max_pool2d_with_indices(x, *window)[1]
    return _call("gx", lambda: aten.max_pool2d_with_indices_backward(gy, x, *window, places))


def _lrn(layer: shapes.LRN, which: str, data: Data) -> Side:
    x, gy = _tensors(data, "x", "gy")
    return _pass(which, x, gy, lambda t: _norm(layer, t))


def _norm(layer: shapes.LRN, x: torch.Tensor) -> torch.Tensor:
    return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)


def _lrn_max_pool(layer: shapes.LRNMaxPool, which: str, data: Data) -> Side:
    x, gy = _tensors(data, "x", "gy")
    return _pass(which, x, gy, lambda t: F.max_pool2d(_norm(layer, t), layer.kernel, layer.stride, ceil_mode=True))


def _relu(layer: shapes.ReLU, which: str, data: Data) -> Side:
    x, gy = _tensors(data, "x", "gy")
    if which == FORWARD:
        return _forward(lambda: F.relu(x))
    y = F.relu(x)
    return _call("gx", lambda: aten.threshold_backward(gy, y, 0))


def _dropout(layer: shapes.Dropout, which: str, data: Data) -> Side:
    x, gy = _tensors(data, "x", "gy")
    return _pass(which, x, gy, lambda t: F.dropout(t, layer.p))


def _loss(layer: shapes.Loss, which: str, data: Data) -> Side:
    x, target = _tensors(data, "x", "target")
    return _pass(which, x, None, lambda t: F.cross_entropy(t, target))


def _update(layer: shapes.Update, which: str, data: Data) -> Side:
    parameters = [torch.nn.Parameter(torch.tensor(w, device=data.where)) for w in data["w"]]
    for parameter, g in zip(parameters, data["g"], strict=True):
        parameter.grad = torch.from_numpy(g).to(data.where)
    optimizer = torch.optim.SGD(parameters, **SGD, fused=data.fused)
    return Side(optimizer.step, lambda: {f"w{i}": p.detach().cpu().numpy() for i, p in enumerate(parameters)})


_KINDS: dict[str, Callable[[Any, str, Data], Side]] = {
    "conv": _conv, "linear": _linear, "pool": _pool, "lrn": _lrn, "lrn_max_pool": _lrn_max_pool,
    "relu": _relu, "dropout": _dropout, "loss": _loss, "update": _update}
