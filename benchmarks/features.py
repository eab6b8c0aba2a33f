"""What photos were recognised by before 2012: a histogram of gradients for each cell of the photo, and a linear
classifier on top.

Dalal, Triggs: Histograms of Oriented Gradients for Human Detection, 2005.  The classifier is softmax regression, which
is what AlexNet's last layer is: the two differ in their features.  scikit-image and scikit-learn do it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from tinyconv.data.dataset import ImageSplit

CELL, BLOCK, ORIENTATIONS = 8, 2, 9  # pixels, cells and angles: as Dalal and Triggs found best
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)  # of the classifier: see fit()
HELD_OUT = 0.2  # of the training photos, to choose the penalty by


class MissingPackageError(ImportError):
    """A package of the development extras is not installed."""


def require() -> None:
    """Raise MissingPackageError, with the remedy, unless scikit-image and scikit-learn are installed."""
    for module, package in (("skimage", "scikit-image"), ("sklearn", "scikit-learn")):
        try:
            __import__(module)
        except ImportError as error:
            raise MissingPackageError(f"{package} is not installed, and the handcrafted features need it: "
                                      'pip install -e ".[dev]"') from error


def histograms(pixels: np.ndarray) -> np.ndarray:
    """(F,) float32: the histograms of gradients of an image (S, S, 3) uint8, S at least 16.

    Each pixel votes for the angle of its gradient (of the colour where that is steepest), with its length, in its cell
    of 8 x 8 pixels; each block of 2 x 2 cells is normalised ("L2-Hys").  F = (S // 8 - 1)^2 * 4 * 9."""
    from skimage.feature import hog

    return hog(pixels, ORIENTATIONS, (CELL, CELL), (BLOCK, BLOCK), block_norm="L2-Hys",
               channel_axis=-1).astype(np.float32)


def features(split: ImageSplit, pixels: int, title: str) -> np.ndarray:
    """(N, F) float32: the histograms of each photo's central square, scaled to ``pixels``."""
    if pixels < CELL * BLOCK:
        raise ValueError(f"pixels is {pixels}; a block of {BLOCK} x {BLOCK} cells has {CELL * BLOCK}")
    found = np.empty((len(split), (pixels // CELL - BLOCK + 1) ** 2 * BLOCK ** 2 * ORIENTATIONS), np.float32)
    for i in tqdm(range(len(split)), title, unit="img", leave=False, disable=None):
        photo = Image.fromarray(split.image(i))
        found[i] = histograms(np.asarray(ImageOps.fit(photo, (pixels, pixels), Image.Resampling.BILINEAR)))
    return found


@dataclass
class Linear:
    """Softmax regression: log-probabilities are log_softmax(weight^T (x - mean) / std + bias).

    penalty     the chosen one (see :func:`fit`)
    tried       for each penalty the accuracy on the held-out photos
    iterations  of the last fit, of at most ``most``
    """

    mean: np.ndarray
    std: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    tried: dict[float, float]
    iterations: int
    most: int
    seconds: float = field(default=0.0, compare=False)

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(N, K) float64: the logits."""
        return ((x - self.mean) / self.std).astype(np.float64) @ self.weight + self.bias


def fit(x: np.ndarray, labels: np.ndarray, seed: int = 0, penalties: Sequence[float] = PENALTIES,
        most: int = 300) -> Linear:
    """Train on features x (N, F) with labels (N,) in 0..K-1, all of which must occur.

    The loss is the mean cross-entropy + penalty / 2 |weight|^2 (of standardised features).  The penalty is that of
    ``penalties`` with which most of a held-out fifth of the photos are guessed right, the larger one if two do as well;
    then all photos are trained on.  ``most``: iterations of L-BFGS.

    Raises ValueError if a class has too few photos to hold some out."""
    from sklearn.model_selection import train_test_split

    began = time.monotonic()
    if np.bincount(labels).min() < 2:
        raise ValueError(f"class {int(np.bincount(labels).argmin())} has fewer than 2 training photos; one must be "
                         "held out to choose the classifier's regularisation")
    mean, std = x.mean(axis=0, dtype=np.float64).astype(np.float32), x.std(axis=0, dtype=np.float64).astype(np.float32)
    std[std == 0] = 1
    scaled = (x - mean) / std
    known, held = train_test_split(np.arange(len(labels)), test_size=max(HELD_OUT, (labels.max() + 1) / len(labels)),
                                   stratify=labels, random_state=seed)
    tried = {}
    for penalty in tqdm(sorted(penalties), "choosing the penalty", leave=False, disable=None):
        guesses = _regression(scaled[known], labels[known], penalty, most).predict(scaled[held])
        tried[penalty] = float((guesses == labels[held]).mean())
    best = max(tried, key=lambda penalty: (tried[penalty], penalty))
    model = _regression(scaled, labels, best, most)
    weight, bias = (model.coef_.T, model.intercept_) if len(model.classes_) > 2 else _both(model)
    return Linear(mean, std, weight, bias, best, tried, int(model.n_iter_.max()), most, time.monotonic() - began)


def _regression(x: np.ndarray, labels: np.ndarray, penalty: float, most: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():  # whether it has converged is in the report
        warnings.simplefilter("ignore", ConvergenceWarning)
        # scikit-learn's loss is C times the sum over the photos + |coef|^2 / 2; of two classes it has one column, the
        # difference of their weights, whose square is twice that of the weights.
        share = penalty / 2 if labels.max() == 1 else penalty
        return LogisticRegression(C=1 / (share * len(labels)), max_iter=most).fit(x, labels)


def _both(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of two classes scikit-learn keeps the difference of their weights only."""
    return np.stack([-model.coef_[0], model.coef_[0]], 1) / 2, np.array([-1, 1]) * model.intercept_ / 2
