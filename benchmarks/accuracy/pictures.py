"""PyTorch's side of the comparison: photos, and what the network sees of them, written with Pillow and PyTorch.

Imported only where PyTorch is installed.
"""

from __future__ import annotations

import io
from copy import copy
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm


class Photos:
    """A split in memory, as squares: fine for a small one, as 25,000 photos of 76 pixels are 433 MB.

    Photos are decoded plainly: other than by tinyconv, large JPEGs are not reduced while they are decoded, transparent
    pixels are not laid on white, and 16-bit images not scaled.

    squares   (N, resize, resize, 3) uint8
    labels    (N,) int64
    """

    def __init__(self, split: Any, resize: int, what: str) -> None:
        self.squares = torch.from_numpy(np.empty((len(split), resize, resize, 3), np.uint8))  # or a MemoryError
        for index in tqdm(range(len(split)), f"decoding {what}", leave=False, disable=None):
            encoded = split.encoded(index)
            image = Image.open(io.BytesIO(encoded)) if encoded else Image.fromarray(split.image(index))
            self.squares[index] = torch.from_numpy(square(image.convert("RGB"), resize))
        self.labels = torch.tensor(split.labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Photos:
        """The first ``count`` of them."""
        some = copy(self)
        some.squares, some.labels = self.squares[:count], self.labels[:count]
        return some


class Crops:
    """What the network sees: crops (N, 3, crop, crop) float32, (pixel + noise - mean) / std.

    ``pack`` gives the statistics of its training pixels: mean and std in 0..255, eigenvalues and -vectors of their
    covariance in 0..1.  A set of one colour has no deviation to divide by."""

    def __init__(self, pack: Any, crop: int, color_noise: float) -> None:
        self.crop, self.color_noise = crop, color_noise
        self.mean, self.std, self.eigenvalues, self.eigenvectors = (
            torch.tensor(values, dtype=torch.float32)
            for values in (pack.mean, np.where(pack.std > 0, pack.std, 1), pack.eigenvalues, pack.eigenvectors))

    def random(self, squares: torch.Tensor) -> torch.Tensor:
        """A random crop of each, mirrored half the time, with the paper's colour noise (section 4.1)."""
        count, side = len(squares), squares.shape[1]
        tops, lefts = torch.randint(side - self.crop + 1, (2, count)).tolist()
        mirrored = (torch.rand(count) < 0.5).tolist()
        amplitudes = self.color_noise * torch.randn(count, 3) * self.eigenvalues
        noise = 255 * amplitudes @ self.eigenvectors.T
        crops = torch.empty(count, self.crop, self.crop, 3)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            piece = squares[i, top:top + self.crop, left:left + self.crop]
            crops[i] = piece.flip(1) if mirrored[i] else piece
        return self._normalised(crops + noise[:, None, None])

    def ten(self, squares: torch.Tensor) -> list[torch.Tensor]:
        """The central crop first; then the four corners, and the mirror images of these five."""
        last = squares.shape[1] - self.crop
        middle = last // 2
        five = [self._normalised(squares[:, top:top + self.crop, left:left + self.crop].float())
                for top, left in ((middle, middle), (0, 0), (0, last), (last, 0), (last, last))]
        return five + [crop.flip(3) for crop in five]

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        return ((pixels - self.mean) / self.std).permute(0, 3, 1, 2).contiguous()


def square(image: Image.Image, size: int) -> np.ndarray:
    """Its short side brought to ``size``, then the middle: torchvision's Resize and CenterCrop, but for half pixels."""
    short = min(image.size)
    if short != size:
        image = image.resize((size * image.width // short, size * image.height // short), Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.array(image.crop((left, top, left + size, top + size)))
