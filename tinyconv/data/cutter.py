"""What is done with one image: read, decode, cut. In a worker process, or wherever there is none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .decode import Picture, decode_picture
from .errors import SampleError
from .resize import central_square
from .transforms import AnyDraws, Transform

if TYPE_CHECKING:
    from .dataset import ImageSplit


class Cutter:
    """Turns image numbers into uint8 squares of `side` pixels: central squares, or what the transform cuts out."""

    def __init__(self, split: ImageSplit, transform: Transform, *, squares: bool):
        self._split, self._transform, self._squares = split, transform, squares
        self.side: int = (transform.square or 0) if squares else transform.side

    @property
    def decodes(self) -> bool:
        """Whether there are files to decode, rather than pixels."""
        encoded = getattr(self._split, "encoded", None)
        return encoded is not None and encoded(0) is not None

    def __call__(self, index: int, out: np.ndarray, draws: AnyDraws | None, row: int) -> None:
        """Write image `index` to `out`, (side, side, 3) uint8, with the random choices in row `row` of the draws.

        Raises SampleError: it could not be read; the message names it."""
        try:
            picture = self._read(index, draws, row)
            if self._squares:
                out[:] = np.asarray(central_square(picture.image, self.side))
            else:
                self._transform.cut(picture, out, draws, row)
        except Exception as error:
            raise SampleError(f"image {index}, {self._split.name(index)}: "
                              f"{str(error) or type(error).__name__}") from error

    def _read(self, index: int, draws: AnyDraws | None, row: int) -> Picture:
        encoded = getattr(self._split, "encoded", None)
        data = encoded(index) if encoded else None
        if data is not None:
            return decode_picture(data, partial(self._transform.least, draws=draws, row=row))
        image = Image.fromarray(self._split.image(index))
        return Picture(image, image.size)
