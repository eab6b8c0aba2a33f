"""One launch to look at for each function of every ``cuda.py``: of modest size, on arrays made up from one shape."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from . import cupy

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Spec:
    """An array to make: an input with values in [0.5, 1.5), or whole numbers below ``below``; or an output."""

    shape: Shape
    dtype: Any = np.float32
    below: int = 0
    output: bool = False


@dataclass(frozen=True)
class Example:
    shape: Shape  # of the array that determines all others, unless the user wants another one
    arrays: Callable[[Shape], list[Spec]]
    options: dict[str, Any] = field(default_factory=dict)


def into(shape: Shape, dtype: Any = np.float32) -> Spec:
    return Spec(shape, dtype, output=True)


def _alike(inputs: int, outputs: int) -> Callable[[Shape], list[Spec]]:
    return lambda shape: [*[Spec(shape)] * inputs, *[into(shape)] * outputs]


def _pooled(shape: Shape) -> Shape:
    n, c, h, w = shape
    return n, c, (h - 3) // 2 + 1, (w - 3) // 2 + 1


def _binned(shape: Shape) -> Shape:
    return *shape[:2], 6, 6


def _filtered(shape: Shape) -> Shape:
    return shape[0], 2 * shape[1], *shape[2:]


def _filters(shape: Shape) -> Shape:
    return 2 * shape[1], shape[1], 3, 3


def _index(shape: Shape, output: bool = False) -> Spec:
    return Spec(_pooled(shape), np.uint8, below=9, output=output)


def _labels(shape: Shape) -> Spec:
    return Spec(shape[:1], np.int64, below=shape[1])


def _column(shape: Shape) -> Shape:
    return shape[0], 1


_IMAGES, _LOGITS = (2, 32, 16, 16), (64, 128)
_CONV = {"stride": (1, 1), "padding": (1, 1), "groups": 1}
_WINDOW = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (0, 0)}
_NORM = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
_RANDOM = {"p": 0.5, "seed": 1, "stream": 2, "step": 3, "first_sample": 4}
_SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}

EXAMPLES: dict[str, Example] = {
    "conv.forward": Example(_IMAGES, lambda x: [
        Spec(x), Spec(_filters(x)), Spec(_filters(x)[:1]), into(_filtered(x))], {**_CONV, "relu": True}),
    "conv.backward_input": Example(_IMAGES, lambda x: [Spec(_filtered(x)), Spec(_filters(x)), into(x)], _CONV),
    "conv.backward_weight": Example(_IMAGES, lambda x: [
        Spec(x), Spec(_filtered(x)), into(_filters(x)), into(_filters(x)[:1])], _CONV),
    "linear.forward": Example((64, 256), lambda x: [
        Spec(x), Spec((128, x[1])), Spec((128,)), into((x[0], 128))], {"relu": True}),
    "linear.backward_input": Example((64, 256), lambda x: [Spec((x[0], 128)), Spec((128, x[1])), into(x)]),
    "linear.backward_weight": Example((64, 256), lambda x: [
        Spec(x), Spec((x[0], 128)), into((128, x[1])), into((128,))]),
    "pool.max_forward": Example(_IMAGES, lambda x: [Spec(x), into(_pooled(x)), _index(x, output=True)], _WINDOW),
    "pool.max_backward": Example(_IMAGES, lambda x: [Spec(_pooled(x)), _index(x), into(x)], _WINDOW),
    "pool.average_forward": Example(_IMAGES, lambda x: [Spec(x), into(_pooled(x))],
                                    {**_WINDOW, "count_include_pad": True}),
    "pool.average_backward": Example(_IMAGES, lambda x: [Spec(_pooled(x)), into(x)],
                                     {**_WINDOW, "count_include_pad": True}),
    "pool.adaptive_average_forward": Example(_IMAGES, lambda x: [Spec(x), into(_binned(x))]),
    "pool.adaptive_average_backward": Example(_IMAGES, lambda x: [Spec(_binned(x)), into(x)]),
    "lrn.forward": Example(_IMAGES, _alike(1, 2), _NORM),
    "lrn.backward": Example(_IMAGES, _alike(4, 1), _NORM),
    "lrn_max_pool.forward": Example(_IMAGES, lambda x: [Spec(x), into(_pooled(x)), _index(x, output=True)],
                                    {**_NORM, **_WINDOW}),
    "lrn_max_pool.backward": Example(_IMAGES, lambda x: [Spec(x), _index(x), Spec(_pooled(x)), into(x)],
                                     {**_NORM, **_WINDOW}),
    "relu.forward": Example(_IMAGES, _alike(1, 1)),
    "relu.backward": Example(_IMAGES, _alike(2, 1)),
    "dropout.apply": Example(_IMAGES, _alike(1, 1), _RANDOM),
    "elementwise.copy": Example(_IMAGES, _alike(1, 1)),
    "elementwise.fill": Example(_IMAGES, _alike(0, 1), {"value": 0.0}),
    "elementwise.add": Example(_IMAGES, _alike(2, 1)),
    "elementwise.sub": Example(_IMAGES, _alike(2, 1)),
    "elementwise.mul": Example(_IMAGES, _alike(2, 1)),
    "elementwise.div": Example(_IMAGES, _alike(2, 1)),
    "elementwise.scale": Example(_IMAGES, _alike(1, 1), {"factor": 0.5}),
    "elementwise.power": Example(_IMAGES, _alike(1, 1), {"exponent": 0.5}),
    "elementwise.exp": Example(_IMAGES, _alike(1, 1)),
    "elementwise.log": Example(_IMAGES, _alike(1, 1)),
    "reduce.sum": Example(_IMAGES, lambda x: [Spec(x), into((1, x[1], 1, 1))], {"axes": (0, 2, 3)}),
    "reduce.max": Example(_LOGITS, lambda x: [Spec(x), into(_column(x))], {"axes": (1,)}),
    "reduce.max_backward": Example(_LOGITS, lambda x: [
        Spec(x), Spec(_column(x)), Spec(_column(x)), into(x)], {"axes": (1,)}),
    "softmax_cross_entropy.softmax": Example(_LOGITS, _alike(1, 1)),
    "softmax_cross_entropy.softmax_backward": Example(_LOGITS, _alike(2, 1)),
    "softmax_cross_entropy.log_softmax": Example(_LOGITS, _alike(1, 1)),
    "softmax_cross_entropy.log_softmax_backward": Example(_LOGITS, _alike(2, 1)),
    "softmax_cross_entropy.forward": Example(_LOGITS, lambda x: [Spec(x), _labels(x), into(()), into(x)],
                                             {"label_smoothing": 0.1}),
    "softmax_cross_entropy.backward": Example(_LOGITS, lambda x: [Spec(x), _labels(x), Spec(()), into(x)],
                                              {"label_smoothing": 0.1}),
    "update.sgd": Example((96, 3, 11, 11), _alike(3, 0), _SGD),
    "update.sum_of_squares": Example((96, 3, 11, 11), lambda g: [Spec(g), into((), np.float64)]),
}


def run(name: str, shape: Shape | None = None) -> None:
    """Launch what the example does, in the current stream of the stand-in for CuPy."""
    from ..kernels import gpu
    from ..kernels.scratch import deal, wanted_by

    example = EXAMPLES[name]
    layer, function = name.split(".")
    before = gpu._cupy
    gpu.use(cupy)
    try:
        module = importlib.import_module(f"tinyconv.kernels.{layer}.cuda")
        random = np.random.default_rng(0)
        arrays = [_make(spec, random) for spec in example.arrays(shape or example.shape)]
        options = dict(example.options)
        kernel = getattr(module, function)
        if wanted_by(kernel):
            options["scratch"] = partial(deal, lambda size: cupy.empty(size, np.uint8))
        kernel(*arrays, **options)
    finally:
        gpu.use(before)


def _make(spec: Spec, random: np.random.Generator) -> Any:
    array = cupy.empty(spec.shape, spec.dtype)
    if not spec.output:
        values = random.integers(spec.below, size=spec.shape) if spec.below else random.random(spec.shape) + 0.5
        array.set(np.asarray(values, spec.dtype))
    return array
