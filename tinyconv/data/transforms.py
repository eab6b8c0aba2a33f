"""From images to the network's float32 input: the augmentation of the AlexNet paper, and random resized crops.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012, sections
2 and 4.1.
Szegedy et al.: Going Deeper with Convolutions, 2014, section 6: crops of any size and shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from .decode import Picture
from .randomness import AUGMENTATION, generator
from .resize import central_square, cut_and_resize

_Rows = TypeVar("_Rows", bound="_Table")


@dataclass(frozen=True)
class _Table:
    """Arrays of one length; row i is about image i."""

    def take(self: _Rows, indices: np.ndarray) -> _Rows:
        """The rows `indices`, as a table of their own."""
        return type(self)(*(getattr(self, field.name)[indices] for field in fields(self)))


@dataclass(frozen=True)
class Draws(_Table):
    """An epoch's random choices, row i for image i: so augmentation depends on seed, epoch and i alone."""

    top: np.ndarray  # (N,) int
    left: np.ndarray  # (N,) int
    mirrored: np.ndarray  # (N,) bool
    colour: np.ndarray  # (N, 3) float32, added to red, green, blue in 0..255


@dataclass(frozen=True)
class BoxDraws(_Table):
    """The same for `RandomResizedCrop`, whose boxes depend on the size of the image: a key instead of a place."""

    key: np.ndarray  # (N,) int64: seeds the generator of this image's box
    mirrored: np.ndarray  # (N,) bool
    colour: np.ndarray  # (N, 3) float32


AnyDraws = Any  # Draws, BoxDraws, or whatever has rows and take()


class Transform(Protocol):
    """Makes `rows` x crop x crop x 3 floats of an image, in two steps.

    cut() runs in the worker processes and makes uint8: a quarter of the bytes that go between processes. finish() runs
    in the consumer's process and makes the floats, in the memory that they stay in.
    """

    crop: int  # side of the network's input
    rows: int  # inputs for each image
    side: int  # side of what cut() makes

    @property
    def square(self) -> int | None:
        """Side of the central square from which all is cut; None: the whole image is needed."""
        ...

    def draw(self, seed: int, epoch: int, count: int) -> AnyDraws | None:
        """The random choices of an epoch of `count` images."""
        ...

    def least(self, width: int, height: int, draws: AnyDraws | None, row: int) -> int | None:
        """How many pixels the short side of an image of this size needs (see `decode`); None: all it has."""
        ...

    def cut(self, picture: Picture, out: np.ndarray, draws: AnyDraws | None, row: int) -> None:
        """Write to `out`, (side, side, 3) uint8, what finish() needs; the draws are those in row `row`."""
        ...

    def finish(self, pixels: np.ndarray, out: np.ndarray, draws: AnyDraws | None, row: int) -> None:
        """From what cut() made to `out`: (rows, crop, crop, 3) float32."""
        ...

    def apply(self, square: np.ndarray, out: np.ndarray, draws: AnyDraws | None, row: int) -> None:
        """From the central square, (square, square, 3) uint8, to `out`: the same floats as cut() and finish()."""
        ...


class TrainTransform:
    """A random crop, mirrored half the time, with colour noise: out = (pixel + noise - mean) / std.

    The image's short side is brought to `resize` pixels, and its central square is taken.
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
        self.square, self.side = self.resize, self.crop
        self._window = _Window(crop, mean, std)
        self._flip = flip
        self._colour = _ColourNoise(color_noise, eigenvalues, eigenvectors)

    def draw(self, seed: int, epoch: int, count: int) -> Draws:
        """The random choices of an epoch of `count` images."""
        random = generator(seed, epoch, AUGMENTATION)
        last = self.resize - self.crop
        top, left = random.integers(0, last, size=(2, count), dtype=np.int32, endpoint=True)
        mirrored = random.random(count) < 0.5 if self._flip else np.zeros(count, bool)
        return Draws(top, left, mirrored, self._colour.draw(random, count))

    def least(self, width: int, height: int, draws: Draws | None, row: int) -> int:
        """The square's side."""
        return self.square

    def cut(self, picture: Picture, out: np.ndarray, draws: Draws | None, row: int) -> None:
        """The crop, mirrored perhaps."""
        assert draws is not None, "draw() gives them"
        top, left = int(draws.top[row]), int(draws.left[row])
        square = central_square(picture.image, self.square)
        _store(square.crop((left, top, left + self.crop, top + self.crop)), out, bool(draws.mirrored[row]))

    def finish(self, pixels: np.ndarray, out: np.ndarray, draws: Draws | None, row: int) -> None:
        """Colour noise, mean and standard deviation."""
        assert draws is not None, "draw() gives them"
        self._window(pixels, 0, 0, out[0], colour=draws.colour[row])

    def apply(self, square: np.ndarray, out: np.ndarray, draws: Draws | None, row: int) -> None:
        """From (resize, resize, 3) uint8 to `out`, (1, crop, crop, 3) float32."""
        assert draws is not None, "draw() gives them"
        top, left = int(draws.top[row]), int(draws.left[row])
        self._window(square, top, left, out[0], bool(draws.mirrored[row]), draws.colour[row])


class RandomResizedCrop:
    """A random box of the image, resized to crop x crop, mirrored half the time, with colour noise perhaps.

    As torchvision's class of this name: the box has a share of the image's area drawn uniformly from `scale`, and a
    width / height whose logarithm is drawn uniformly between those of `ratio`; width and height are rounded, and all
    places in the image are equally likely. A box that does not fit is drawn again; after ten, the largest central box
    whose shape is within `ratio` is taken. Only the box's own pixels are resampled (bilinear, averaging).

    crop         side of the result, in pixels
    mean, std    as for `TrainTransform`, like flip, color_noise, eigenvalues and eigenvectors
    scale        least and largest share of the area (0.08 to 1 in the paper of 2014)
    ratio        least and largest width / height (3/4 to 4/3)

    Raises ValueError: an argument out of range.
    """

    rows = 1
    square = None

    def __init__(self, crop: int, mean: np.ndarray, std: np.ndarray, *, scale: tuple[float, float] = (0.08, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3), flip: bool = True, color_noise: float = 0.0,
                 eigenvalues: np.ndarray | None = None, eigenvectors: np.ndarray | None = None):
        if crop < 1:
            raise ValueError(f"crop is {crop}; a crop has at least 1 pixel a side")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale is {scale}; pass the least and the largest share of the area, above 0, up to 1")
        if not 0 < ratio[0] <= ratio[1] < math.inf:
            raise ValueError(f"ratio is {ratio}; pass the least and the largest width / height, above 0")
        self.crop = self.side = crop
        self.scale, self.ratio = scale, ratio
        self._window = _Window(crop, mean, std)
        self._flip = flip
        self._colour = _ColourNoise(color_noise, eigenvalues, eigenvectors)

    def draw(self, seed: int, epoch: int, count: int) -> BoxDraws:
        """The random choices of an epoch of `count` images."""
        random = generator(seed, epoch, AUGMENTATION)
        key = random.integers(0, 1 << 62, size=count)
        mirrored = random.random(count) < 0.5 if self._flip else np.zeros(count, bool)
        return BoxDraws(key, mirrored, self._colour.draw(random, count))

    def box(self, width: int, height: int, key: int) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the box that `key` gives in an image of this size."""
        random = np.random.default_rng(key)
        logarithms = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = width * height * random.uniform(*self.scale)
            ratio = math.exp(random.uniform(*logarithms))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
                return int(left), int(top), w, h
        w = min(width, max(1, round(height * self.ratio[1])))
        h = min(height, max(1, round(width / self.ratio[0])))
        return (width - w) // 2, (height - h) // 2, w, h

    def least(self, width: int, height: int, draws: BoxDraws | None, row: int) -> int | None:
        """So much that the box still has `crop` pixels a side."""
        assert draws is not None, "draw() gives them"
        if min(width, height) < 2 * self.crop:
            return None  # draft mode would leave half the pixels, at most
        _, _, w, h = self.box(width, height, int(draws.key[row]))
        return math.ceil(min(width, height) * self.crop / min(w, h))

    def cut(self, picture: Picture, out: np.ndarray, draws: BoxDraws | None, row: int) -> None:
        """The box, resized, mirrored perhaps."""
        assert draws is not None, "draw() gives them"
        width, height = picture.size
        left, top, w, h = self.box(width, height, int(draws.key[row]))
        x, y = picture.image.width / width, picture.image.height / height  # 1, unless decoded in draft mode
        piece = cut_and_resize(picture.image, (left * x, top * y, (left + w) * x, (top + h) * y), self.crop)
        _store(piece, out, bool(draws.mirrored[row]))

    def finish(self, pixels: np.ndarray, out: np.ndarray, draws: BoxDraws | None, row: int) -> None:
        """Colour noise, mean and standard deviation."""
        assert draws is not None, "draw() gives them"
        self._window(pixels, 0, 0, out[0], colour=draws.colour[row])

    def apply(self, square: np.ndarray, out: np.ndarray, draws: BoxDraws | None, row: int) -> None:
        """There is no square: its boxes reach all of the image."""
        raise NotImplementedError("RandomResizedCrop needs whole images")


class EvalTransform:
    """The central crop, or the paper's ten crops: out = (pixel - mean) / std.

    Ten crops: top left, top right, bottom left, bottom right, centre; then the mirror images of these five,
    in the same order. The central crop starts at (resize - crop) // 2. Arguments as for `TrainTransform`.
    """

    def __init__(self, resize: int, crop: int, mean: np.ndarray, std: np.ndarray, *, ten_crop: bool = False):
        self.resize, self.crop = _check_sizes(resize, crop)
        self.square = self.resize
        self._window = _Window(crop, mean, std)
        self.rows = 10 if ten_crop else 1
        self.side = resize if ten_crop else crop
        last, centre = resize - crop, (resize - crop) // 2
        corners = [(0, 0), (0, last), (last, 0), (last, last)] if ten_crop else []
        self._offsets = [*corners, (centre, centre)]

    def draw(self, seed: int, epoch: int, count: int) -> None:
        """Nothing is random here."""

    def least(self, width: int, height: int, draws: None, row: int) -> int:
        """The square's side."""
        return self.square

    def cut(self, picture: Picture, out: np.ndarray, draws: None, row: int) -> None:
        """The central crop; of ten crops, the square that they come from, which has fewer pixels than they."""
        square = central_square(picture.image, self.square)
        first = (self.square - self.side) // 2
        _store(square.crop((first, first, first + self.side, first + self.side)), out)

    def finish(self, pixels: np.ndarray, out: np.ndarray, draws: None, row: int) -> None:
        """Mean and standard deviation; ten crops are made here."""
        if self.rows > 1:
            self.apply(pixels, out, draws, row)
        else:
            self._window(pixels, 0, 0, out[0])

    def apply(self, square: np.ndarray, out: np.ndarray, draws: None, row: int) -> None:
        """From (resize, resize, 3) uint8 to `out`: (rows, crop, crop, 3) float32."""
        for place, (top, left) in enumerate(self._offsets):
            self._window(square, top, left, out[place])
        half = len(self._offsets)
        if self.rows == 2 * half:
            out[half:] = out[:half, :, ::-1]


def _store(image: Image.Image, out: np.ndarray, mirrored: bool = False) -> None:
    out[:] = np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image)


class _ColourNoise:
    """sum_j p_j a_j lambda_j with a_j ~ N(0, deviation), in 0..255."""

    def __init__(self, deviation: float, eigenvalues: np.ndarray | None, eigenvectors: np.ndarray | None):
        if deviation < 0:
            raise ValueError(f"color_noise is {deviation}; it is a standard deviation, at least 0")
        self._deviation = deviation
        self._axes = None  # columns p_j lambda_j, in 0..255
        if deviation:
            if eigenvalues is None or eigenvectors is None:
                raise ValueError(f"color_noise is {deviation}; it needs eigenvalues and eigenvectors")
            self._axes = 255 * np.reshape(eigenvectors, (3, 3)) * np.reshape(eigenvalues, 3)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """(count, 3) float32."""
        colour = np.zeros((count, 3), np.float32)
        if self._axes is not None:
            colour[:] = random.normal(0, self._deviation, size=(count, 3)) @ self._axes.T
        return colour


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
        np.copyto(flat, rows)  # first, for multiply() would convert piece by piece: half as fast
        flat *= self._scale
        flat += np.tile((colour - self._mean) / self._std, side)


def _check_sizes(resize: int, crop: int) -> tuple[int, int]:
    if not 1 <= crop <= resize:
        raise ValueError(f"crop is {crop} and resize {resize}; a crop has 1 to {resize} pixels a side")
    return resize, crop
