"""Calls of every function of every ``cuda.py``, on shapes like AlexNet's, most of which fill a GPU.

Where a function has a ladder of kernels, its first call here is made with each rung, and the others, for the variants
that other shapes and arguments choose, with the best one only.
The arrays are never read or written, so they cost address space only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

_WINDOW = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (0, 0)}
_NORM = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
_CONV = {"stride": (1, 1), "padding": (1, 1), "groups": 1}
_IMAGE, _POOLED, _FILTERED, _FILTERS = (128, 96, 27, 27), (128, 96, 13, 13), (128, 256, 27, 27), (256, 96, 3, 3)
_NARROW, _NARROW_FILTERS = (128, 64, 27, 27), (64, 64, 3, 3)
_WIDE, _WIDE_POOLED = (1, 64, 31, 8193), (1, 64, 15, 4096)
_ONE, _ONE_FILTERED = (1, 96, 27, 27), (1, 256, 27, 27)
_ODD_MATRIX, _MANY_ODD = (4096, 4095), (2048, 4095)  # rows that are not aligned
_MATRIX, _HIDDEN, _MANY, _LOGITS = (4096, 4096), (128, 4096), (2048, 4096), (128, 1000)


class GpuArray(np.ndarray):
    """A NumPy array that gives its address as CuPy's do."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)


def empty(shape: tuple[int, ...] | int, dtype: Any = np.float32) -> GpuArray:
    return np.empty(shape, dtype).view(GpuArray)


def _arrays(*shapes: tuple[int, ...]) -> Callable[[], list[Any]]:
    return lambda: [empty(shape) for shape in shapes]


def _index() -> np.ndarray:
    return empty(_POOLED, np.uint8)


def _labels() -> np.ndarray:
    return empty(_LOGITS[0], np.int64)


CALLS: list[tuple[str, Callable[[], list[Any]], dict[str, Any]]] = [
    ("conv.forward", _arrays(_IMAGE, _FILTERS, (256,), _FILTERED), {**_CONV, "relu": True}),
    ("conv.forward", _arrays(_NARROW, _NARROW_FILTERS, (64,), _NARROW), _CONV),
    ("conv.forward", _arrays(_ONE, _FILTERS, (256,), _ONE_FILTERED), _CONV),
    ("conv.backward_input", _arrays(_FILTERED, _FILTERS, _IMAGE), _CONV),
    ("conv.backward_input", _arrays(_FILTERED, _FILTERS, _IMAGE, _FILTERED), _CONV),
    ("conv.backward_input", _arrays(_NARROW, _NARROW_FILTERS, _NARROW), _CONV),
    ("conv.backward_input", _arrays(_ONE_FILTERED, _FILTERS, _ONE), _CONV),
    ("conv.backward_weight", _arrays(_IMAGE, _FILTERED, _FILTERS, (256,)), _CONV),
    ("conv.backward_weight", _arrays(_IMAGE, _FILTERED, _FILTERS, (256,), _FILTERED), _CONV),
    ("conv.backward_weight", _arrays(_ONE, _ONE_FILTERED, _FILTERS, (256,)), _CONV),
    ("conv.backward_weight", _arrays(_ONE, _ONE_FILTERED, _FILTERS, (256,), _ONE_FILTERED), _CONV),
    ("linear.forward", _arrays(_MANY, _MATRIX, (4096,), _MANY), {"relu": True}),
    ("linear.forward", _arrays(_HIDDEN, _MATRIX, (4096,), _HIDDEN), {"relu": True}),
    ("linear.backward_input", _arrays(_MANY, _MATRIX, _MANY), {}),
    ("linear.backward_input", _arrays(_MANY, _MATRIX, _MANY, _MANY), {}),
    ("linear.backward_input", _arrays(_HIDDEN, _MATRIX, _HIDDEN), {}),
    ("linear.backward_weight", _arrays(_MANY, _MANY, _MATRIX, (4096,)), {}),
    ("linear.backward_weight", _arrays(_MANY, _MANY, _MATRIX, (4096,), _MANY), {}),
    ("linear.backward_input", _arrays(_MANY, _ODD_MATRIX, _MANY_ODD, _MANY), {}),
    ("linear.backward_weight", _arrays(_MANY_ODD, _MANY, _ODD_MATRIX, (4096,), _MANY), {}),
    ("pool.max_forward", lambda: [*_arrays(_IMAGE, _POOLED)(), _index()], _WINDOW),
    ("pool.max_backward", lambda: [*_arrays(_POOLED)(), _index(), *_arrays(_IMAGE)()], _WINDOW),
    ("pool.average_forward", _arrays(_IMAGE, _POOLED), {**_WINDOW, "count_include_pad": True}),
    ("pool.average_backward", _arrays(_POOLED, _IMAGE), {**_WINDOW, "count_include_pad": True}),
    ("pool.adaptive_average_forward", _arrays(_IMAGE, _POOLED), {}),
    ("pool.adaptive_average_backward", _arrays(_POOLED, _IMAGE), {}),
    ("pool.max_forward", lambda: [*_arrays(_WIDE, _WIDE_POOLED)(), empty(_WIDE_POOLED, np.uint8)], _WINDOW),
    ("pool.average_forward", _arrays(_WIDE, _WIDE_POOLED), {**_WINDOW, "count_include_pad": True}),
    ("lrn.forward", _arrays(_IMAGE, _IMAGE, _IMAGE), _NORM),
    ("lrn.backward", _arrays(_IMAGE, _IMAGE, _IMAGE, _IMAGE, _IMAGE), _NORM),
    ("lrn.forward", _arrays(_IMAGE, _IMAGE, _IMAGE), {**_NORM, "size": 15}),
    ("lrn.backward", _arrays(_IMAGE, _IMAGE, _IMAGE, _IMAGE, _IMAGE), {**_NORM, "size": 15}),
    ("lrn_max_pool.forward", lambda: [*_arrays(_IMAGE, _POOLED)(), _index()], {**_NORM, **_WINDOW}),
    ("lrn_max_pool.backward", lambda: [*_arrays(_IMAGE)(), _index(), *_arrays(_POOLED, _IMAGE)()],
     {**_NORM, **_WINDOW}),
    ("relu.forward", _arrays(_IMAGE, _IMAGE), {}),
    ("relu.backward", _arrays(_IMAGE, _IMAGE, _IMAGE), {}),
    ("dropout.apply", _arrays(_IMAGE, _IMAGE), {"p": 0.5, "seed": 1, "stream": 2, "step": 3, "first_sample": 4}),
    ("elementwise.fill", _arrays(_IMAGE), {"value": 0.0}),
    ("elementwise.copy", _arrays(_IMAGE, _IMAGE), {}),
    ("elementwise.copy", lambda: [empty(_MATRIX).T, empty(_MATRIX)], {}),
    ("elementwise.add", _arrays(_IMAGE, _IMAGE, _IMAGE), {}),
    ("elementwise.sub", _arrays(_IMAGE, _IMAGE, _IMAGE), {}),
    ("elementwise.mul", _arrays(_IMAGE, _IMAGE, _IMAGE), {}),
    ("elementwise.div", _arrays(_IMAGE, _IMAGE, _IMAGE), {}),
    ("elementwise.scale", _arrays(_IMAGE, _IMAGE), {"factor": 0.5}),
    ("elementwise.power", _arrays(_IMAGE, _IMAGE), {"exponent": 0.5}),
    ("elementwise.exp", _arrays(_IMAGE, _IMAGE), {}),
    ("elementwise.log", _arrays(_IMAGE, _IMAGE), {}),
    ("reduce.sum", _arrays(_IMAGE, (1, 96, 1, 1)), {"axes": (0, 2, 3)}),
    ("reduce.sum", _arrays(_MATRIX, (1, 4096)), {"axes": (0,)}),
    ("reduce.max", _arrays(_LOGITS, (128, 1)), {"axes": (1,)}),
    ("reduce.max_backward", _arrays(_LOGITS, (128, 1), (128, 1), _LOGITS), {"axes": (1,)}),
    ("softmax_cross_entropy.softmax", _arrays(_LOGITS, _LOGITS), {}),
    ("softmax_cross_entropy.softmax_backward", _arrays(_LOGITS, _LOGITS, _LOGITS), {}),
    ("softmax_cross_entropy.log_softmax", _arrays(_LOGITS, _LOGITS), {}),
    ("softmax_cross_entropy.log_softmax_backward", _arrays(_LOGITS, _LOGITS, _LOGITS), {}),
    ("softmax_cross_entropy.forward", lambda: [*_arrays(_LOGITS)(), _labels(), *_arrays((), _LOGITS)()],
     {"label_smoothing": 0.1}),
    ("softmax_cross_entropy.backward", lambda: [*_arrays(_LOGITS)(), _labels(), *_arrays((), _LOGITS)()],
     {"label_smoothing": 0.1}),
    ("update.sgd", _arrays(_MATRIX, _MATRIX, _MATRIX), {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}),
    ("update.sum_of_squares", lambda: [*_arrays(_MATRIX)(), empty((), np.float64)], {}),
]
