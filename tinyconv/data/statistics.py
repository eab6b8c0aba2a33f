"""Mean, standard deviation and principal components of the training pixels, from exact integer sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_BLOCK = 8192  # pixels
_ZEROS = ((0, 0, 0), (0, 0, 0), (0, 0, 0))


class PixelStatistics:
    """Accumulates sum_p x_p and sum_p x_p x_p^T over all pixels x_p = (red, green, blue), with equal weights.

    The sums are Python integers, so that neither the order of the images nor their number costs a digit.
    """

    def __init__(self, count: int = 0, total: Sequence[int] = (0, 0, 0), products: Sequence[Sequence[int]] = _ZEROS):
        self.count = count
        self._sum = np.array(total, dtype=object)
        self._products = np.array(products, dtype=object)

    def add(self, pixels: np.ndarray) -> None:
        """Take in an image: (H, W, 3) uint8."""
        # float64 holds integers up to 2^53 exactly, and BLAS does the work; blocks stay in the cache and on one core.
        flat = pixels.reshape(-1, 3)
        self.count += len(flat)
        for start in range(0, len(flat), _BLOCK):
            red, green, blue = (flat[start : start + _BLOCK, channel].astype(np.float64) for channel in range(3))
            rr, rg, rb, gg, gb, bb = (int(x @ y) for x, y in ((red, red), (red, green), (red, blue), (green, green),
                                                              (green, blue), (blue, blue)))
            self._sum += np.array([int(x.sum()) for x in (red, green, blue)], dtype=object)
            self._products += np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]], dtype=object)

    def merge(self, other: PixelStatistics) -> None:
        """Take in all that `other` has taken in."""
        self.count += other.count
        self._sum += other._sum
        self._products += other._products

    def to_json(self) -> dict[str, Any]:
        """The sums, as integers of any length."""
        return {"pixels": self.count, "sum": self._sum.tolist(), "products": self._products.tolist()}

    @classmethod
    def from_json(cls, sums: dict[str, Any]) -> PixelStatistics:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError: it is something else."""
        made = cls(int(sums["pixels"]), sums["sum"], sums["products"])
        if made._sum.shape != (3,) or made._products.shape != (3, 3):
            raise ValueError(f"sums have shapes {made._sum.shape} and {made._products.shape}, not (3,) and (3, 3)")
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PixelStatistics) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

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
