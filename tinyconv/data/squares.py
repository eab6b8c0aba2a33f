"""Decoded and resized images, kept in memory: from the second epoch on an image costs only its crop."""

from __future__ import annotations

import math

import numpy as np

from .dataset import ImageSplit
from .resize import central_square

_LIMIT = 1 << 30  # bytes: 5,000 squares of 256 pixels, or 87,000 of 64


class Squares:
    """The central squares of a split's images, (size, size, 3) uint8; kept if all need less than 1 GiB."""

    def __init__(self, split: ImageSplit, size: int):
        self._split = split
        self._size = size
        # Memory is taken page by page, when an image is written.
        shape = (len(split), size, size, 3)
        self._kept = np.empty(shape, np.uint8) if math.prod(shape) < _LIMIT else None
        self._ready = np.zeros(len(split), bool)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._kept is None:
            return central_square(self._split.image(index), self._size)
        if not self._ready[index]:
            # Two threads may both do this: they write the same bytes. Only then is the image declared ready.
            self._kept[index] = central_square(self._split.image(index), self._size)
            self._ready[index] = True
        return self._kept[index]
