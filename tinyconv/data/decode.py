"""Encoded image files to pixels and back, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from .errors import DecodeError

# Pillow reads more, but some readers start other programs (EPS: Ghostscript) or are seldom looked after.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 80_000_000  # a photo of 240 MB decoded; a few kB of PNG can claim to be far larger
_KEPT = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # how JPEG and PNG files begin


class Picture(NamedTuple):
    """A decoded photo: an RGB image, and the (width, height) that its file says; draft mode makes it smaller."""

    image: Image.Image
    size: tuple[int, int]


# How small a JPEG may be decoded: its short side in pixels, or a function of the file's (width, height) that says it.
Least = int | Callable[[int, int], int | None] | None


def decode(data: bytes, least: Least = None) -> np.ndarray:
    """Pixels of an image file: (H, W, 3) uint8, red, green, blue.

    Grey becomes three equal channels, 16-bit grey keeps its upper 8 bits, transparent pixels are laid over
    white, CMYK and palettes are converted, an animation gives its first frame. EXIF orientation is not
    applied, as is usual for ImageNet.

    least   None: every pixel. A number: of a JPEG, every 2nd, 4th or 8th pixel each way will do (draft mode: the
            decoder leaves out the fine detail, which is several times as fast), while the short side keeps at least
            so many. Other formats do not care.

    Raises DecodeError: empty, truncated, of an unknown format, or of more than `MAX_PIXELS` pixels.
    """
    return np.array(decode_picture(data, least).image)


def decode_picture(data: bytes, least: Least = None) -> Picture:
    """The same as `decode`, as an image of Pillow's, which can be cut without copying it as a whole."""
    if not data:
        raise DecodeError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DecodeError(f"{width} x {height} pixels are more than the limit of {MAX_PIXELS:,}")
            enough = least(width, height) if callable(least) else least
            if enough is not None and image.format == "JPEG":
                image.draft(None, (enough, enough))
            return Picture(_to_rgb(image), (width, height))
    except DecodeError:
        raise
    except Image.UnidentifiedImageError as error:
        raise DecodeError(f"not an image of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # damaged files make Pillow raise OSError, SyntaxError, struct.error ...
        raise DecodeError(f"damaged image: {str(error) or type(error).__name__}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DecodeError("pixels are floating-point numbers of unknown range; convert them to 8 bits")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours).convert("RGB")
    if image.mode == "RGB":
        image.load()  # convert() would make a copy
        return image
    return image.convert("RGB")


def keepable(data: bytes) -> bool:
    """Whether a pack stores this file as it is: JPEG and PNG."""
    return data.startswith(_KEPT)


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint8: lossless."""
    return _encode(pixels, "PNG")


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """A JPEG file of (H, W, 3) uint8 at `quality` 1..95."""
    return _encode(pixels, "JPEG", quality=quality)


def _encode(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
