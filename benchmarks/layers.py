"""Each pass of each layer as tinyconv runs it: a kernel launched on arrays that exist already, in the device's layout.

``torch_layers.py`` does the same in PyTorch.  Both start from the same :func:`numbers`, and :class:`Side` lets a test
compare what they computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyconv.device import Device, device
from tinyconv.functional.pooling import place_dtype

from . import shapes
from .shapes import FORWARD, INPUT

SGD: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One way to do a thing.  ``run`` does it; ``result`` says what the latest run made: name -> array (NCHW)."""

    run: Callable[[], object]
    result: Callable[[], dict[str, np.ndarray]]


def numbers(layer: shapes.Layer, batch: int, seed: int = 0) -> Numbers:
    """Normally distributed input ``x``, gradient ``gy`` and parameters of a layer, and ``target`` labels for a loss.

    Weights are scaled by 1/sqrt(inputs of a filter), so that y is about as large as x.  An update has neither x nor gy,
    but parameters ``w`` and gradients ``g``."""
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    if isinstance(layer, shapes.Update):
        return {"w": [normal(*shape) for shape in layer.sizes], "g": [normal(*shape) for shape in layer.sizes]}
    data: Numbers = {"x": normal(batch, *layer.x)}
    if isinstance(layer, shapes.Loss):
        return {**data, "target": generator.integers(layer.x[0], size=batch)}
    for name, shape in layer.parameters.items():
        data[name] = normal(*shape) / np.float32(math.sqrt(math.prod(shape[1:])))
    return {**data, "gy": normal(batch, *layer.y)}


def side(layer: shapes.Layer, which: str, data: Numbers, where: str = "cpu") -> Side:
    """The pass ``which`` of ``layer`` on these numbers, by tinyconv's kernels on the device ``where``."""
    return _KINDS[layer.kind](device(where), layer, which, data)


def _launch(where: Device, kernel: str, *arrays: Any, results: dict[str, Any], **options: Any) -> Side:
    return Side(lambda: where.launch(kernel, *arrays, **options),
                lambda: {name: where.download(array) for name, array in results.items()})


def _like(where: Device, array: Any) -> Any:
    return where.empty(array.shape, array.dtype)


def _parameters(where: Device, data: Numbers) -> tuple[Any, Any, Any, Any]:
    """Weight, bias, and room for their gradients, in plain row-major memory."""
    weight, bias = (where.upload(data[name], plain=True) for name in ("weight", "bias"))
    return weight, bias, *(where.empty(a.shape, a.dtype, plain=True) for a in (weight, bias))


def _conv(where: Device, layer: shapes.Conv, which: str, data: Numbers) -> Side:
    options = {"stride": (layer.stride,) * 2, "padding": (layer.padding,) * 2, "groups": layer.groups}
    x, gy = where.upload(data["x"]), where.upload(data["gy"])
    weight, bias, gw, gb = _parameters(where, data)
    if which == FORWARD:
        y = _like(where, gy)
        return _launch(where, "conv.forward", x, weight, bias, y, results={"y": y}, **options)
    if which == INPUT:
        gx = _like(where, x)
        return _launch(where, "conv.backward_input", gy, weight, gx, results={"gx": gx}, **options)
    return _launch(where, "conv.backward_weight", x, gy, gw, gb, results={"gw": gw, "gb": gb}, **options)


def _linear(where: Device, layer: shapes.Linear, which: str, data: Numbers) -> Side:
    x, gy = where.upload(data["x"]), where.upload(data["gy"])
    weight, bias, gw, gb = _parameters(where, data)
    if which == FORWARD:
        y = _like(where, gy)
        return _launch(where, "linear.forward", x, weight, bias, y, results={"y": y})
    if which == INPUT:
        gx = _like(where, x)
        return _launch(where, "linear.backward_input", gy, weight, gx, results={"gx": gx})
    return _launch(where, "linear.backward_weight", x, gy, gw, gb, results={"gw": gw, "gb": gb})


def _pass(which: str, forward: Side, backward: Side) -> Side:
    """The one that is asked for; backward needs what forward leaves."""
    if which == FORWARD:
        return forward
    forward.run()
    return backward


def _pool(where: Device, layer: shapes.Pool, which: str, data: Numbers) -> Side:
    """Max-pooling by itself, or in one pass with the norm before it."""
    options: dict[str, Any] = {"kernel_size": (layer.kernel,) * 2, "stride": (layer.stride,) * 2, "padding": (0, 0)}
    x, gy = where.upload(data["x"]), where.upload(data["gy"])
    y, index, gx = _like(where, gy), where.empty(gy.shape, place_dtype(options["kernel_size"])), _like(where, x)
    if isinstance(layer, shapes.LRNMaxPool):
        options |= _norm(layer)
        return _pass(which, _launch(where, "lrn_max_pool.forward", x, y, index, results={"y": y}, **options),
                     _launch(where, "lrn_max_pool.backward", x, index, gy, gx, results={"gx": gx}, **options))
    return _pass(which, _launch(where, "pool.max_forward", x, y, index, results={"y": y}, **options),
                 _launch(where, "pool.max_backward", gy, index, gx, results={"gx": gx}, **options))


def _norm(layer: shapes.LRN) -> dict[str, Any]:
    return {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "k": layer.k}


def _lrn(where: Device, layer: shapes.LRN, which: str, data: Numbers) -> Side:
    x, gy = where.upload(data["x"]), where.upload(data["gy"])
    y, scale, gx = _like(where, x), _like(where, x), _like(where, x)
    return _pass(which, _launch(where, "lrn.forward", x, y, scale, results={"y": y}, **_norm(layer)),
                 _launch(where, "lrn.backward", x, y, scale, gy, gx, results={"gx": gx}, **_norm(layer)))


def _relu(where: Device, layer: shapes.ReLU, which: str, data: Numbers) -> Side:
    x, gy = where.upload(data["x"]), where.upload(data["gy"])
    y, gx = _like(where, x), _like(where, x)
    return _pass(which, _launch(where, "relu.forward", x, y, results={"y": y}),
                 _launch(where, "relu.backward", y, gy, gx, results={"gx": gx}))


def _dropout(where: Device, layer: shapes.Dropout, which: str, data: Numbers) -> Side:
    """Backward draws the same numbers again, so both passes are one kernel."""
    source = where.upload(data["x" if which == FORWARD else "gy"])
    target = _like(where, source)
    return _launch(where, "dropout.apply", source, target, results={"y" if which == FORWARD else "gx": target},
                   p=layer.p, seed=0, stream=1, step=0, first_sample=0)


def _loss(where: Device, layer: shapes.Loss, which: str, data: Numbers) -> Side:
    x, target = where.upload(data["x"]), where.upload(data["target"])
    loss, log_probability, gx = where.empty((), x.dtype), _like(where, x), _like(where, x)
    gloss = where.upload(np.ones((), x.dtype))
    return _pass(which, _launch(where, "softmax_cross_entropy.forward", x, target, loss, log_probability,
                                results={"y": loss}, label_smoothing=0.0),
                 _launch(where, "softmax_cross_entropy.backward", log_probability, target, gloss, gx,
                         results={"gx": gx}, label_smoothing=0.0))


def _update(where: Device, layer: shapes.Update, which: str, data: Numbers) -> Side:
    w, g = ([where.upload(a, plain=True) for a in data[name]] for name in "wg")
    v = [where.upload(np.zeros_like(a), plain=True) for a in data["w"]]

    def run() -> None:
        for arrays in zip(w, g, v, strict=True):
            where.launch("update.sgd", *arrays, **SGD)

    return Side(run, lambda: {f"w{i}": where.download(a) for i, a in enumerate(w)})


_KINDS: dict[str, Callable[[Device, Any, str, Numbers], Side]] = {
    "conv": _conv, "linear": _linear, "pool": _pool, "lrn": _lrn, "lrn_max_pool": _pool,
    "relu": _relu, "dropout": _dropout, "loss": _loss, "update": _update}
