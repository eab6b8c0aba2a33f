"""Images made on the spot, for trying things out without any data."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .statistics import PixelStatistics

_GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, are spread evenly: neighbouring classes look different


class SyntheticSplit:
    """Stripes: class k has its own angle, width and colour; every image its own phase and noise.

    n images of size x size pixels, label i % classes. Image i depends on (seed, i) alone, and what a class
    looks like on no seed at all: splits of different seeds show the same classes. Raises ValueError: an
    argument below 1.
    """

    def __init__(self, n: int, classes: int, size: int, seed: int):
        if min(n, classes, size) < 1 or seed < 0:
            raise ValueError(f"n {n}, classes {classes} and size {size} must be at least 1, "
                             f"seed {seed} at least 0")
        self._size, self._seed = size, seed
        self.labels: np.ndarray = np.arange(n, dtype=np.int64) % classes

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """(size, size, 3) uint8. Raises IndexError: no such image."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are images 0..{len(self) - 1}; {index} is not one of them")
        label = int(self.labels[index])
        random = np.random.default_rng([self._seed, index])
        angle, turns = np.pi * (label * _GOLDEN % 1), 2 + label % 4
        y, x = np.mgrid[: self._size, : self._size] / self._size
        wave = np.sin(2 * np.pi * (turns * (x * np.cos(angle) + y * np.sin(angle)) + random.random()))
        hue = 2 * np.pi * (label * _GOLDEN**2 % 1 + np.arange(3) / 3)
        pixels = 128 + 60 * wave[..., None] * np.cos(hue) + random.normal(0, 25, (self._size, self._size, 3))
        return pixels.clip(0, 255).astype(np.uint8)

    def name(self, index: int) -> str:
        """What to call the image in an error message."""
        return f"synthetic image {index}"


class SyntheticData:
    """Splits "train" and "val" of synthetic images, with the attributes of a `Pack` that training uses."""

    provenance = "synthetic stripes"
    licence = "none needed"
    grey = False

    def __init__(self, classes: int = 10, size: int = 64, train: int = 2000, val: int = 500, seed: int = 0):
        self.classes = [f"stripes {label}" for label in range(classes)]
        self.wnids: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self._splits = {"train": SyntheticSplit(train, classes, size, 2 * seed),
                        "val": SyntheticSplit(val, classes, size, 2 * seed + 1)}
        self.splits = list(self._splits)

    def split(self, name: str) -> SyntheticSplit:
        """The split called `name`. Raises KeyError: there is no such split."""
        return self._splits[name]

    @property
    def mean(self) -> np.ndarray:
        """(3,) in 0..255, of some of the training images."""
        return self._statistics.mean

    @property
    def std(self) -> np.ndarray:
        """(3,) in 0..255."""
        return self._statistics.std

    @property
    def eigenvalues(self) -> np.ndarray:
        """(3,), of the covariance of pixels in 0..1."""
        return self._statistics.principal_components()[0]

    @property
    def eigenvectors(self) -> np.ndarray:
        """(3, 3), one a column."""
        return self._statistics.principal_components()[1]

    @cached_property
    def _statistics(self) -> PixelStatistics:
        statistics = PixelStatistics()
        train = self._splits["train"]
        for index in range(min(len(train), max(100, 2 * len(self.classes)))):
            statistics.add(train.image(index))
        return statistics
