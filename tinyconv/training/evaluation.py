"""How good a network is: the loss, and how often the right class is its first guess, or among its first five.

The network computes logits; what follows (softmax, averages over crops and networks, the comparison of scores) is done
in float64 on the host.  ``tally.py`` counts class by class, ``trained.py`` does it for checkpoints and ensembles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..device import Device
from ..grad_mode import no_grad
from ..nn import Module
from ..tensor import tensor


@dataclass
class Result:
    """Sums over images, so that results of batches of any size add up exactly."""

    images: int = 0
    loss_sum: float = 0.0
    top1_hits: int = 0
    top5_hits: int = 0

    @property
    def loss(self) -> float:
        return self.loss_sum / self.images

    @property
    def top1(self) -> float:
        """The share of images whose class is the first guess, 0 to 1."""
        return self.top1_hits / self.images

    @property
    def top5(self) -> float:
        """The share of images whose class is among the first five guesses, 0 to 1."""
        return self.top5_hits / self.images

    def add(self, loss: float, scores: np.ndarray, labels: np.ndarray) -> None:
        """A batch: its mean loss, scores (N, classes), labels (N)."""
        self.images += len(labels)
        self.loss_sum += loss * len(labels)
        self.top1_hits += top_k(scores, labels, 1)
        self.top5_hits += top_k(scores, labels, 5)


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """How many rows of scores (N, classes) have their label among the k highest; see :func:`hits`."""
    return int(hits(scores, labels, k).sum())


def hits(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool: whether the label is among the k highest of its row of scores (N, classes).

    A label counts as beaten by every other class that scores at least as much: a network that gives all classes the
    same score guesses nothing right.  A score of NaN never hits."""
    own = scores[np.arange(len(labels)), labels][:, None]
    beaten_by = (scores >= own).sum(axis=1) - 1
    return (beaten_by < k) & np.isfinite(own[:, 0])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log(exp(x_k) / sum_j exp(x_j)) along the last axis, in float64 whatever the logits are."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def mean_log_probability(log_probability: np.ndarray, axis: int) -> np.ndarray:
    """log of the mean of the probabilities along ``axis``: of the crops of a photo (section 4.1 of the 2012 paper), or
    of several networks.  A single one is returned as it is, to the last bit."""
    if log_probability.shape[axis] == 1:
        return log_probability.squeeze(axis)
    return np.log(np.maximum(np.exp(log_probability).mean(axis), np.finfo(np.float64).tiny))


def predict(model: Module, images: np.ndarray, device: Device, crops: int = 1) -> np.ndarray:
    """(N, crops, classes) float64: the logarithms of the class probabilities for each crop of N photos.

    images: (N * crops, C, H, W), the crops of a photo one after another.  Nothing is remembered for a gradient; the
    model is used in the mode that it is in, see :func:`evaluating`."""
    with no_grad():
        logits = model(tensor(images, device)).numpy()
    return log_softmax(logits).reshape(len(images) // crops, crops, -1)


@contextmanager
def evaluating(*models: Module) -> Iterator[None]:
    """Inside, nothing is dropped out; afterwards each model is in the mode it was in before."""
    before = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for model, training in zip(models, before, strict=True):
            model.train(training)


def mean_loss(log_probability: np.ndarray, labels: np.ndarray) -> float:
    """The cross-entropy of a batch: the mean of -log p(label).  log_probability (N, classes), labels (N)."""
    return float(-log_probability[np.arange(len(labels)), labels].mean())


def evaluate(model: Module, batches: Iterable[tuple[np.ndarray, np.ndarray]], device: Device, crops: int = 1,
             after_batch: Callable[[Result], None] | None = None) -> Result:
    """Evaluate ``model`` on batches of (images, labels), with dropout off.

    With ``crops`` > 1 the images come in runs of that many crops of one photo, and the class probabilities of a run
    are averaged (section 4.1 of the 2012 paper).  ``after_batch`` is called with the sums so far."""
    result = Result()
    with evaluating(model):
        for images, labels in batches:
            log_probability = mean_log_probability(predict(model, images, device, crops), axis=1)
            result.add(mean_loss(log_probability, labels), log_probability, labels)
            if after_batch:
                after_batch(result)
    return result
