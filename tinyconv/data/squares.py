"""Decoded and resized images, kept in memory: from the second epoch on an image costs only its crop."""

from __future__ import annotations

import math

import numpy as np

from .shared import SharedImages

KEEP = 1 << 30  # bytes: 5,000 squares of 256 pixels, or 87,000 of 64


class Squares:
    """Room for the central squares of all images of a split, in memory that worker processes can fill."""

    def __init__(self, count: int, side: int):
        self.memory = SharedImages((count, side, side, 3))
        self.ready = np.zeros(count, bool)  # which are there

    @staticmethod
    def bytes(count: int, side: int) -> int:
        """How much memory that takes."""
        return math.prod((count, side, side, 3))
