"""From square uint8 images to the network's float32 input: the augmentation of the AlexNet paper.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012, sections
2 and 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .randomness import AUGMENTATION, generator


@dataclass(frozen=True)
class Draws:
    """An epoch's random choices, row i for image i: so augmentation depends on seed, epoch and i alone."""

    top: np.ndarray  # (N,) int
    left: np.ndarray  # (N,) int
    mirrored: np.ndarray  # (N,) bool
    colour: np.ndarray  # (N, 3) float32, added to red, green, blue in 0..255


class Transform(Protocol):
    """Fills `rows` x crop x crop x 3 floats from a (resize, resize, 3) image."""

    resize: int
    crop: int
    rows: int

    def draw(self, seed: int, epoch: int, count: int) -> Draws | None:
        """The random choices of an epoch of `count` images."""
        ...

    def apply(self, square: np.ndarray, out: np.ndarray, draws: Draws | None, index: int) -> None:
        """Transform image `index` into `out`: (rows, crop, crop, 3) float32."""
        ...


class TrainTransform:
    """A random crop, mirrored half the time, with colour noise: out = (pixel + noise - mean) / std.

    Every offset 0..resize-crop is equally likely, the last included. The noise of an image is the vector
    sum_j p_j a_j lambda_j with a_j ~ N(0, color_noise), the same for all its pixels; lambda and p are the
    pack's eigenvalues and eigenvectors for pixels in 0..1, so the sum is multiplied by 255.

    resize       side of the square, in pixels (256 in the paper)
    crop         side of the crop (224 in the paper)
    mean, std    (3,) in 0..255: the pack's. The paper subtracts a mean and keeps the scale: std = 1.
    flip         mirror half the images
    color_noise  standard deviation of a_j (0.1 in the paper), or 0; it needs
    eigenvalues, eigenvectors   (3,) and (3, 3): the pack's

    Raises ValueError: an argument out of range.
    """

    rows = 1

    def __init__(self, resize: int, crop: int, mean: np.ndarray, std: np.ndarray, *, flip: bool = True,
                 color_noise: float = 0.0, eigenvalues: np.ndarray | None = None,
                 eigenvectors: np.ndarray | None = None):
        self.resize, self.crop = _check_sizes(resize, crop)
        self._window = _Window(crop, mean, std)
        self._flip = flip
        if color_noise < 0:
            raise ValueError(f"color_noise is {color_noise}; it is a standard deviation, at least 0")
        self._noise = color_noise
        self._axes = None  # columns p_j lambda_j, in 0..255
        if color_noise:
            if eigenvalues is None or eigenvectors is None:
                raise ValueError(f"color_noise is {color_noise}; it needs eigenvalues and eigenvectors")
            self._axes = 255 * np.reshape(eigenvectors, (3, 3)) * np.reshape(eigenvalues, 3)

    def draw(self, seed: int, epoch: int, count: int) -> Draws:
        """The random choices of an epoch of `count` images."""
        random = generator(seed, epoch, AUGMENTATION)
        last = self.resize - self.crop
        top, left = random.integers(0, last, size=(2, count), dtype=np.int32, endpoint=True)
        mirrored = random.random(count) < 0.5 if self._flip else np.zeros(count, bool)
        colour = np.zeros((count, 3), np.float32)
        if self._axes is not None:
            colour[:] = random.normal(0, self._noise, size=(count, 3)) @ self._axes.T
        return Draws(top, left, mirrored, colour)

    def apply(self, square: np.ndarray, out: np.ndarray, draws: Draws | None, index: int) -> None:
        """Transform image `index`: (resize, resize, 3) uint8 into `out`, (1, crop, crop, 3) float32."""
        assert draws is not None, "draw() gives them"
        top, left = int(draws.top[index]), int(draws.left[index])
        self._window(square, top, left, out[0], bool(draws.mirrored[index]), draws.colour[index])


class EvalTransform:
    """The central crop, or the paper's ten crops: out = (pixel - mean) / std.

    Ten crops: top left, top right, bottom left, bottom right, centre; then the mirror images of these five,
    in the same order. The central crop starts at (resize - crop) // 2. Arguments as for `TrainTransform`.
    """

    def __init__(self, resize: int, crop: int, mean: np.ndarray, std: np.ndarray, *, ten_crop: bool = False):
        self.resize, self.crop = _check_sizes(resize, crop)
        self._window = _Window(crop, mean, std)
        self.rows = 10 if ten_crop else 1
        last, centre = resize - crop, (resize - crop) // 2
        corners = [(0, 0), (0, last), (last, 0), (last, last)] if ten_crop else []
        self._offsets = [*corners, (centre, centre)]

    def draw(self, seed: int, epoch: int, count: int) -> None:
        """Nothing is random here."""

    def apply(self, square: np.ndarray, out: np.ndarray, draws: Draws | None, index: int) -> None:
        """Transform (resize, resize, 3) uint8 into `out`: (rows, crop, crop, 3) float32."""
        for row, (top, left) in enumerate(self._offsets):
            self._window(square, top, left, out[row])
        half = len(self._offsets)
        if self.rows == 2 * half:
            out[half:] = out[:half, :, ::-1]


class _Window:
    """out = (a crop of the square, mirrored perhaps, + colour - mean) / std.

    A row of pixels is seen as one row of 3 * crop numbers, with mean and std repeated along it: NumPy is ten
    times faster on long rows than on triples.
    """

    def __init__(self, crop: int, mean: np.ndarray, std: np.ndarray):
        mean, std = np.reshape(mean, 3).astype(np.float32), np.reshape(std, 3).astype(np.float32)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError(f"mean {mean} must be finite and std {std} above 0; "
                             "for a set of one colour, whose std is 0, pass 1")
        self._crop = crop
        self._mean, self._std = mean, std
        self._scale = np.tile(1 / std, crop)
        self._mirror = np.arange(3 * crop).reshape(crop, 3)[::-1].ravel()  # last pixel first

    def __call__(self, square: np.ndarray, top: int, left: int, out: np.ndarray, mirrored: bool = False,
                 colour: np.ndarray | float = 0.0) -> None:
        side = self._crop
        rows = square.reshape(len(square), -1)[top : top + side, 3 * left : 3 * (left + side)]
        flat = out.reshape(side, 3 * side)
        if mirrored:
            rows = rows.take(self._mirror, axis=1)  # rows[:, self._mirror] would be stored column by column
        np.multiply(rows, self._scale, out=flat)
        flat += np.tile((colour - self._mean) / self._std, side)


def _check_sizes(resize: int, crop: int) -> tuple[int, int]:
    if not 1 <= crop <= resize:
        raise ValueError(f"crop is {crop} and resize {resize}; a crop has 1 to {resize} pixels a side")
    return resize, crop
