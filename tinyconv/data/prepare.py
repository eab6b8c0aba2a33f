"""From an image file to what a pack stores of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .decode import decode, encode_jpeg, encode_png, keepable
from .errors import DecodeError
from .photos import Photo, Skipped
from .resize import central_square, shrink_short_side

QUALITY = 90
STORAGES = ("auto", "encoded", "raw")


@dataclass(frozen=True)
class Recipe:
    """What is done to each image.

    resize   None: JPEG and PNG files keep their bytes, others become PNG. S: images whose short side is longer
             than S pixels are reduced to it and stored as JPEG.
    quality  of those JPEGs, 1..95.
    crop     None, or S: the short side is brought to S pixels and the central square stored, as raw pixels.

    Raises ValueError: out of range, or both a size and a crop.
    """

    resize: int | None = None
    quality: int = QUALITY
    crop: int | None = None

    def __post_init__(self) -> None:
        for name, side in (("resize", self.resize), ("crop", self.crop)):
            if side is not None and not 1 <= side <= 8192:
                raise ValueError(f"{name} is {side}; pass a side in pixels, 1..8192, or None")
        if self.resize is not None and self.crop is not None:
            raise ValueError(f"resize is {self.resize} and crop {self.crop}; pass one of them")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality is {self.quality}; pass 1..95")

    def __str__(self) -> str:
        """For fingerprints. Packs of before the crop was an option have the same for the same images."""
        crop = f" crop={self.crop}" if self.crop else ""
        return f"resize={self.resize} quality={self.quality if self.resize else None}{crop}"

    @property
    def provenance(self) -> str:
        """What a pack's provenance says of it."""
        if self.crop:
            return f"; central squares of {self.crop} pixels"
        return f"; short side reduced to {self.resize}, JPEG quality {self.quality}" if self.resize else ""


@dataclass(frozen=True)
class Ready:
    """An image as it goes into the pack: its pixels, and the file that decodes to them (None: raw pixels only)."""

    photo: Photo
    pixels: np.ndarray
    encoded: bytes | None


def prepare(item: Photo | Skipped, recipe: Recipe) -> Ready | Skipped:
    """What a pack stores of an image, or why nothing."""
    if isinstance(item, Skipped):
        return item
    try:
        pixels = decode(item.data)  # to know that it can be, and for the statistics
    except DecodeError as error:
        return Skipped(item.file, str(error))
    if recipe.crop is not None:
        return Ready(item, np.array(central_square(Image.fromarray(pixels), recipe.crop)), None)
    if recipe.resize is not None and min(pixels.shape[:2]) > recipe.resize:
        return _reduced(item, pixels, recipe)
    return Ready(item, pixels, item.data if keepable(item.data) else encode_png(pixels))


def _reduced(photo: Photo, pixels: np.ndarray, recipe: Recipe) -> Ready | Skipped:
    assert recipe.resize is not None
    small = shrink_short_side(pixels, recipe.resize)
    try:
        encoded = encode_jpeg(small, recipe.quality)
    except OSError as error:  # a JPEG has at most 65,500 pixels a side
        return Skipped(photo.file, f"{small.shape[1]} x {small.shape[0]} pixels cannot be stored as JPEG: {error}")
    return Ready(photo, decode(encoded), encoded)
