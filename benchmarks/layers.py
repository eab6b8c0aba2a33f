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

from tinyconv.device import device

from . import shapes
from .shapes import FORWARD, INPUT

DEVICE = device("cpu")
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


def side(layer: shapes.Layer, which: str, data: Numbers) -> Side:
    """The pass ``which`` of ``layer`` on these numbers, by tinyconv's CPU kernels."""
    return _KINDS[layer.kind](layer, which, data)


def _launch(kernel: str, *arrays: Any, results: dict[str, Any], **options: Any) -> Side:
    return Side(lambda: DEVICE.launch(kernel, *arrays, **options),
                lambda: {name: DEVICE.download(array) for name, array in results.items()})


def _like(array: Any) -> Any:
    return DEVICE.empty(array.shape, array.dtype)


def _parameters(data: Numbers) -> tuple[Any, Any, Any, Any]:
    """Weight, bias, and room for their gradients, in plain row-major memory."""
    weight, bias = (DEVICE.upload(data[name], plain=True) for name in ("weight", "bias"))
    return weight, bias, *(DEVICE.empty(a.shape, a.dtype, plain=True) for a in (weight, bias))


def _conv(layer: shapes.Conv, which: str, data: Numbers) -> Side:
    options = {"stride": (layer.stride,) * 2, "padding": (layer.padding,) * 2, "groups": layer.groups}
    x, gy = DEVICE.upload(data["x"]), DEVICE.upload(data["gy"])
    weight, bias, gw, gb = _parameters(data)
    if which == FORWARD:
        y = _like(gy)
        return _launch("conv.forward", x, weight, bias, y, results={"y": y}, **options)
    if which == INPUT:
        gx = _like(x)
        return _launch("conv.backward_input", gy, weight, gx, results={"gx": gx}, **options)
    return _launch("conv.backward_weight", x, gy, gw, gb, results={"gw": gw, "gb": gb}, **options)


def _linear(layer: shapes.Linear, which: str, data: Numbers) -> Side:
    x, gy = DEVICE.upload(data["x"]), DEVICE.upload(data["gy"])
    weight, bias, gw, gb = _parameters(data)
    if which == FORWARD:
        y = _like(gy)
        return _launch("linear.forward", x, weight, bias, y, results={"y": y})
    if which == INPUT:
        gx = _like(x)
        return _launch("linear.backward_input", gy, weight, gx, results={"gx": gx})
    return _launch("linear.backward_weight", x, gy, gw, gb, results={"gw": gw, "gb": gb})


def _pool(layer: shapes.Pool, which: str, data: Numbers) -> Side:
    options = {"kernel_size": (layer.kernel,) * 2, "stride": (layer.stride,) * 2, "padding": (0, 0)}
    x, gy = DEVICE.upload(data["x"]), DEVICE.upload(data["gy"])
    y, index, gx = _like(gy), DEVICE.empty(gy.shape, np.uint16), _like(x)
    forward = _launch("pool.max_forward", x, y, index, results={"y": y}, **options)
    if which == FORWARD:
        return forward
    forward.run()  # backward needs the places
    return _launch("pool.max_backward", gy, index, gx, results={"gx": gx}, **options)


def _lrn(layer: shapes.LRN, which: str, data: Numbers) -> Side:
    options = {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
    x, gy = DEVICE.upload(data["x"]), DEVICE.upload(data["gy"])
    y, scale, gx = _like(x), _like(x), _like(x)
    forward = _launch("lrn.forward", x, y, scale, results={"y": y}, **options)
    if which == FORWARD:
        return forward
    forward.run()  # backward needs y and scale
    return _launch("lrn.backward", x, y, scale, gy, gx, results={"gx": gx}, **options)


def _relu(layer: shapes.ReLU, which: str, data: Numbers) -> Side:
    x, gy = DEVICE.upload(data["x"]), DEVICE.upload(data["gy"])
    y, gx = _like(x), _like(x)
    forward = _launch("relu.forward", x, y, results={"y": y})
    if which == FORWARD:
        return forward
    forward.run()
    return _launch("relu.backward", y, gy, gx, results={"gx": gx})


def _dropout(layer: shapes.Dropout, which: str, data: Numbers) -> Side:
    """Backward draws the same numbers again, so both passes are one kernel."""
    source = DEVICE.upload(data["x" if which == FORWARD else "gy"])
    target = _like(source)
    return _launch("dropout.apply", source, target, results={"y" if which == FORWARD else "gx": target},
                   p=layer.p, seed=0, stream=1, step=0, first_sample=0)


def _loss(layer: shapes.Loss, which: str, data: Numbers) -> Side:
    x, target = DEVICE.upload(data["x"]), DEVICE.upload(data["target"])
    loss, log_probability, gx = DEVICE.empty((), x.dtype), _like(x), _like(x)
    forward = _launch("softmax_cross_entropy.forward", x, target, loss, log_probability, results={"y": loss},
                      label_smoothing=0.0)
    if which == FORWARD:
        return forward
    forward.run()
    gloss = DEVICE.upload(np.ones((), x.dtype))
    return _launch("softmax_cross_entropy.backward", log_probability, target, gloss, gx, results={"gx": gx},
                   label_smoothing=0.0)


def _update(layer: shapes.Update, which: str, data: Numbers) -> Side:
    w, g = ([DEVICE.upload(a, plain=True) for a in data[name]] for name in "wg")
    v = [DEVICE.upload(np.zeros_like(a), plain=True) for a in data["w"]]

    def run() -> None:
        for arrays in zip(w, g, v, strict=True):
            DEVICE.launch("update.sgd", *arrays, **SGD)

    return Side(run, lambda: {f"w{i}": DEVICE.download(a) for i, a in enumerate(w)})


_KINDS: dict[str, Callable[[Any, str, Numbers], Side]] = {
    "conv": _conv, "linear": _linear, "pool": _pool, "lrn": _lrn, "relu": _relu, "dropout": _dropout, "loss": _loss,
    "update": _update}
