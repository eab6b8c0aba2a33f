"""How good a network is: the loss, and how often the right class is its first guess, or among its first five."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .. import functional as F
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
    """How many rows of scores (N, classes) have their label among the k highest.

    A label counts as beaten by every other class that scores at least as much: a network that gives all classes the
    same score guesses nothing right.  A score of NaN never hits."""
    own = scores[np.arange(len(labels)), labels][:, None]
    beaten_by = (scores >= own).sum(axis=1) - 1
    return int(((beaten_by < k) & np.isfinite(own[:, 0])).sum())


@no_grad()
def evaluate(model: Module, batches: Iterable[tuple[np.ndarray, np.ndarray]], device: Device, crops: int = 1,
             after_batch: Callable[[Result], None] | None = None) -> Result:
    """Evaluate ``model`` on batches of (images, labels), with dropout off.

    With ``crops`` > 1 the images come in runs of that many crops of one photo, and the class probabilities of a run
    are averaged (section 4.1 of the 2012 paper).  ``after_batch`` is called with the sums so far."""
    training = model.training
    model.eval()
    result = Result()
    try:
        for images, labels in batches:
            log_probability = F.log_softmax(model(tensor(images, device))).numpy().astype(np.float64)
            probability = np.exp(log_probability).reshape(len(labels), crops, -1).mean(axis=1)
            if crops > 1:
                log_probability = np.log(np.maximum(probability, np.finfo(np.float64).tiny))
            loss = -log_probability[np.arange(len(labels)), labels].mean()
            result.add(float(loss), log_probability, labels)
            if after_batch:
                after_batch(result)
    finally:
        model.train(training)
    return result
