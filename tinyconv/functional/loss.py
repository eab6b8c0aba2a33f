"""Softmax and the cross-entropy loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks


class Softmax(Function):
    """Along one axis, which is first made the last: the kernels take rows."""

    name = "softmax"
    axis: int

    def forward(self, x: Array) -> Array:
        rows = self._rows(x)
        y = self.device.empty(rows.shape, rows.dtype)
        self.device.launch(f"softmax_cross_entropy.{self.name}", rows, y)
        self.save(y)
        return self._back(y, x.shape)

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        gx = self.device.empty(y.shape, y.dtype)
        self.device.launch(f"softmax_cross_entropy.{self.name}_backward", y, self._rows(gy), gx)
        return (self._back(gx, gy.shape),)

    def _rows(self, x: Array) -> Array:
        moved = np.moveaxis(x, self.axis, -1)  # on a channels-last device the channels are there already
        return self.device.dense(moved, plain=True).reshape(-1, x.shape[self.axis])

    def _back(self, rows: Array, shape: tuple[int, ...]) -> Array:
        moved = [n for i, n in enumerate(shape) if i != self.axis] + [shape[self.axis]]
        return np.moveaxis(rows.reshape(moved), -1, self.axis)


class LogSoftmax(Softmax):
    name = "log_softmax"


class CrossEntropy(Function):
    """See ``kernels/softmax_cross_entropy/README.md`` for the formulas."""

    name = "cross_entropy"
    target: Array
    label_smoothing: float

    def forward(self, logits: Array) -> Array:
        logits = self.device.dense(logits)
        loss = self.device.empty((), logits.dtype)
        log_probability = self.device.empty(logits.shape, logits.dtype)
        self.device.launch("softmax_cross_entropy.forward", logits, self.target, loss, log_probability,
                           label_smoothing=self.label_smoothing)
        self.save(log_probability)
        return loss

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        (log_probability,) = self.saved
        gx = self.device.empty(log_probability.shape, log_probability.dtype)
        self.device.launch("softmax_cross_entropy.backward", log_probability, self.target, gy, gx,
                           label_smoothing=self.label_smoothing)
        return (gx,)


def softmax(x: Tensor, axis: int = 1) -> Tensor:
    """exp(x) / sum of exp(x) along ``axis``, computed from x - max(x) so that nothing overflows."""
    return Softmax(axis=_axis("softmax", x, axis))(x)


def log_softmax(x: Tensor, axis: int = 1) -> Tensor:
    """x - log(sum of exp(x)) along ``axis``: the logarithm of softmax, exact where softmax itself rounds to 0."""
    return LogSoftmax(axis=_axis("log_softmax", x, axis))(x)


def _axis(name: str, x: Tensor, axis: int) -> int:
    checks.tensors(name, x=x)
    if x.size == 0:
        raise ValueError(f"{name}: x is empty: its shape is {x.shape}")
    return checks.one_axis(name, axis, x.ndim)


def cross_entropy(logits: Tensor, target: Any, label_smoothing: float = 0.0) -> Tensor:
    """The mean over the batch of -sum over classes of q log softmax(logits), where q is 1 at the target and 0
    elsewhere, or with label smoothing e, (1 - e) of that plus e / C everywhere.

    Args:
        logits: (N, C).
        target: (N) class indices, 0 <= target < C: an int array, list or tensor.
        label_smoothing: e, 0 <= e <= 1.

    Returns: a scalar.  Untrained, it is about ln(C).

    Raises: ValueError for labels out of range (it names the first) or shapes that do not fit; TypeError if labels are
    not integers.
    """
    checks.tensors("cross_entropy", logits=logits)
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(f"cross_entropy: logits must have shape (N, C), neither of them 0; not {logits.shape}")
    checks.number("cross_entropy", "label_smoothing", label_smoothing, least=0, most=1)
    labels = _labels(target, *logits.shape)
    return CrossEntropy(target=logits.device.upload(labels), label_smoothing=float(label_smoothing))(logits)


def _labels(target: Any, batch: int, classes: int) -> np.ndarray:
    labels = np.asarray(target)
    if labels.dtype.kind not in "iu":
        nan = " with NaN" if labels.dtype.kind == "f" and np.isnan(labels).any() else ""
        raise TypeError(f"cross_entropy: target must hold integer class indices, not {labels.dtype}{nan}")
    if labels.shape != (batch,):
        raise ValueError(f"cross_entropy: target has shape {labels.shape}; for logits of shape {(batch, classes)} "
                         f"it should be ({batch},)")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise ValueError(f"cross_entropy: target[{wrong[0]}] is {labels[wrong[0]]}, but there are {classes} classes: "
                         f"labels go from 0 to {classes - 1}")
    return labels.astype(np.int64)
