"""Changing the size of images: bilinear, averaging over the source pixels when it shrinks."""

from __future__ import annotations

import numpy as np
from PIL import Image

_FILTER = Image.Resampling.BILINEAR  # Pillow widens the filter with the reduction, which avoids aliasing


def shrink_short_side(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8, the short side reduced to `size`, the proportions kept. Smaller images stay."""
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    if scale >= 1:
        return pixels
    new = (max(size, round(width * scale)), max(size, round(height * scale)))
    return np.array(Image.fromarray(pixels).resize(new, _FILTER))


def central_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the short side brought to `size`, then the central square, as in the 2012 paper.

    One resampling does both: it computes the central square only.
    """
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(Image.fromarray(pixels).resize((size, size), _FILTER, box=box))
