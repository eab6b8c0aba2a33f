"""A result class by class, which classes are taken for which, and how sure one can be of an accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .evaluation import Result, hits, mean_loss

Z95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """The interval, 0 to 1, in which the true share lies with 95 % confidence (Wilson 1927), given that ``successes``
    of ``trials`` >= 1 independent tries succeeded:

        (p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)      with p = successes/n, n = trials

    Unlike p +- z sqrt(p (1 - p)/n) it stays within 0 to 1 and has a width at p = 0 and p = 1."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"wilson: {successes} of {trials} is no share; successes must be 0..trials, trials at least 1")
    p, n = successes / trials, trials
    centre, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


@dataclass
class Confusion:
    """``count`` of the ``images`` of class ``truth`` were taken for class ``guess``; both are numbers of classes."""

    truth: int
    guess: int
    count: int
    images: int


class Tally(Result):
    """A :class:`Result` that also counts for each of K ``classes``.

    confusion   (K, K) int64: row: the true class; column: the first guess.  Its diagonal sums to ``top1_hits``
    class_top5  (K,) int64: how many images of each class have it among the first five guesses
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.confusion = np.zeros((classes, classes), np.int64)
        self.class_top5 = np.zeros(classes, np.int64)

    def add(self, loss: float, scores: np.ndarray, labels: np.ndarray) -> None:
        """As of a :class:`Result`.  Raises ValueError, and counts nothing, if a score is not a number: such a network
        guesses nothing, and no column of the confusion matrix would be right."""
        if np.isnan(scores).any():
            bad = int(np.isnan(scores).any(axis=1).argmax())
            raise ValueError(f"the scores of image {self.images + bad} are not numbers; the network is broken")
        super().add(loss, scores, labels)
        np.add.at(self.confusion, (labels, first_guess(scores, labels)), 1)
        np.add.at(self.class_top5, labels[hits(scores, labels, 5)], 1)

    def add_log_probability(self, log_probability: np.ndarray, labels: np.ndarray) -> None:
        """A batch, scored by the logarithms of its class probabilities (N, K)."""
        self.add(mean_loss(log_probability, labels), log_probability, labels)

    @property
    def class_images(self) -> np.ndarray:
        """(K,) int64: how many images there are of each class."""
        return self.confusion.sum(axis=1)

    @property
    def class_top1(self) -> np.ndarray:
        """(K,) int64: how many images of each class are guessed right."""
        return self.confusion.diagonal()

    def confused(self, count: int) -> list[Confusion]:
        """The ``count`` worst pairs, those of most images first; of equal ones that with the larger share of its
        class."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        images = self.class_images
        pairs = [Confusion(int(t), int(g), int(wrong[t, g]), int(images[t])) for t, g in np.argwhere(wrong)]
        return sorted(pairs, key=lambda pair: (-pair.count, pair.images, pair.truth, pair.guess))[:count]

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """All of it, ready for JSON; ``names`` of the K classes.  Accuracies are shares of 1, ``low`` to ``high`` their
        interval by :func:`wilson`."""
        per_class = [
            {"class": name, "images": int(n), "top1": accuracy(int(one), int(n)), "top5": accuracy(int(five), int(n))}
            for name, n, one, five in zip(names, self.class_images, self.class_top1, self.class_top5, strict=True)]
        return {"images": self.images, "loss": self.loss, "top1": accuracy(self.top1_hits, self.images),
                "top5": accuracy(self.top5_hits, self.images), "per_class": per_class,
                "confusion": self.confusion.tolist()}


def first_guess(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,): the class of the highest score in each row of scores (N, K), by the rule of :func:`hits`: of classes that
    score the same, one that is not the label."""
    guess = scores.argmax(axis=1)
    others = scores.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    tied = (guess == labels) & ~hits(scores, labels, 1)
    return np.where(tied, others.argmax(axis=1), guess)


def accuracy(right: int, images: int) -> dict[str, Any]:
    """Hits, their share and its 95 % interval; a share of None where there are no images."""
    if not images:
        return {"hits": 0, "share": None, "low": None, "high": None}
    low, high = wilson(right, images)
    return {"hits": right, "share": right / images, "low": low, "high": high}
