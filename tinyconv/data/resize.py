"""Changing the size of images: bilinear, averaging over the source pixels when it shrinks."""

from __future__ import annotations

import math

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


def central_square(image: Image.Image, size: int) -> Image.Image:
    """The short side brought to `size`, then the central square: size x size pixels, as in the 2012 paper.

    One resampling does both: it computes the central square only. Where the short side has `size` pixels already,
    nothing is resampled: the square begins at pixel (long side - size) // 2.
    """
    width, height = image.size
    if width == height == size:
        return image
    side = min(width, height)
    if side == size:
        left, top = (width - size) // 2, (height - size) // 2
        return image.crop((left, top, left + size, top + size))
    x, y = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), _FILTER, box=(x, y, x + side, y + side))


def cut_and_resize(image: Image.Image, box: tuple[float, float, float, float], size: int) -> Image.Image:
    """The box (left, top, right, bottom), as size x size pixels. Nothing outside of it has a say, as in torchvision.

    The box is rounded outwards to whole pixels, which matters for images from draft mode only.
    """
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = min(math.ceil(box[2]), image.width), min(math.ceil(box[3]), image.height)
    piece = image.crop((left, top, right, bottom))
    return piece.resize((size, size), _FILTER, box=(box[0] - left, box[1] - top, min(box[2], image.width) - left,
                                                    min(box[3], image.height) - top))
