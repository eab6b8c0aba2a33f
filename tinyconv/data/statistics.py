"""Mean, standard deviation and principal components of the training pixels, from exact integer sums."""

from __future__ import annotations

import numpy as np


class PixelStatistics:
    """Accumulates sum_p x_p and sum_p x_p x_p^T over all pixels x_p = (red, green, blue), with equal weights.

    The sums are Python integers, so that neither the order of the images nor their number costs a digit.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = np.zeros(3, dtype=object)
        self._products = np.zeros((3, 3), dtype=object)

    def add(self, pixels: np.ndarray) -> None:
        """Take in an image: (H, W, 3) uint8."""
        # float64 holds integers up to 2^53, so this is exact for up to 1.4e11 pixels, and BLAS does the work.
        flat = pixels.reshape(-1, 3).astype(np.float64)
        self.count += len(flat)
        self._sum += _integers(flat.sum(axis=0))
        self._products += _integers(flat.T @ flat)

    @property
    def mean(self) -> np.ndarray:
        """(3,) float64 in 0..255."""
        return np.array([total / self.count for total in self._sum])

    @property
    def std(self) -> np.ndarray:
        """(3,) float64 in 0..255, of the population: divided by the number of pixels."""
        return 255 * np.sqrt(self.covariance.diagonal())

    @property
    def covariance(self) -> np.ndarray:
        """(3, 3) float64: (sum_p x x^T / n - mean mean^T) / 255^2, that is of the pixels scaled to 0..1."""
        numerator = self.count * self._products - np.outer(self._sum, self._sum)
        return (numerator / (self.count * 255) ** 2).astype(np.float64)

    def principal_components(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (3,), descending, and eigenvectors (3, 3), one a column, of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]  # rounding may leave -1e-18
        largest = vectors[np.abs(vectors).argmax(axis=0), range(3)]  # a sign is arbitrary: fix it
        return values, vectors * np.sign(largest)


def _integers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64).astype(object)
