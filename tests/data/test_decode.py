"""Every kind of image file becomes (H, W, 3) uint8, or a clear error."""

import io

import numpy as np
import pytest
from PIL import Image

from tinyconv.data import decode as module
from tinyconv.data.decode import decode, decode_picture, encode_jpeg, encode_png, keepable
from tinyconv.data.errors import DecodeError

RAMP = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_grey_becomes_three_equal_channels():
    pixels = decode(encoded(Image.fromarray(RAMP)))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.stack([RAMP] * 3, axis=2))


def test_grey_jpeg_has_equal_channels_too():
    pixels = decode(encoded(Image.fromarray(RAMP // 4), "JPEG"))
    assert pixels.shape == (20, 30, 3)
    assert (pixels == pixels[..., :1]).all() and pixels.max() > 30


def test_16_bits_keep_the_upper_8():
    pixels = decode(encoded(Image.fromarray(RAMP.astype(np.uint16) * 257)))
    np.testing.assert_array_equal(pixels[..., 1], RAMP)


def test_colours_keep_their_order_and_place():
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 2], pixels[1, 0] = (255, 0, 0), (0, 0, 255)
    np.testing.assert_array_equal(decode(encode_png(pixels)), pixels)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM"])
def test_other_formats(kind):
    pixels = decode(encoded(Image.new("RGB", (5, 4), (255, 0, 0)), kind))
    np.testing.assert_array_equal(pixels, np.full((4, 5, 3), (255, 0, 0)))


def test_cmyk_jpeg():
    pixels = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    np.testing.assert_allclose(pixels.astype(int), np.full((8, 8, 3), (255, 0, 0)), atol=3)  # JPEG's rounding


def test_palette():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    np.testing.assert_array_equal(decode(encoded(image)), np.full((4, 4, 3), (10, 200, 30)))


def test_transparent_pixels_lie_over_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    np.testing.assert_array_equal(decode(encoded(image)), [[(200, 0, 0), (255, 255, 255)]])


def test_what_is_no_image_is_an_error():
    whole = encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), 90)
    cases = {b"": "empty", b"hello, world": "not an image", whole[: len(whole) // 2]: "truncated",
             whole[:3]: "not an image"}
    for data, message in cases.items():
        with pytest.raises(DecodeError, match=message):
            decode(data)


def test_a_bomb_is_an_error_before_it_goes_off(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 99)
    with pytest.raises(DecodeError, match="10 x 10 pixels are more than the limit of 99"):
        decode(encoded(Image.new("L", (10, 10))))
    monkeypatch.undo()
    with pytest.raises(DecodeError, match="pixels"):
        decode(encoded(Image.new("1", (20_000, 10_000))))  # Pillow's own limit, too


def test_floating_point_pixels_are_refused():
    with pytest.raises(DecodeError, match="8 bits"):
        decode(encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"))


def smooth(height: int, width: int) -> np.ndarray:
    """A photo without detail, so that every other pixel tells it all."""
    y, x = np.mgrid[:height, :width]
    return np.stack([200 * y / height, 200 * x / width, 100 + 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("least, shape", [(None, (160, 240, 3)), (81, (160, 240, 3)), (80, (80, 120, 3)),
                                          (41, (80, 120, 3)), (40, (40, 60, 3)), (20, (20, 30, 3)),
                                          (1, (20, 30, 3)), (1000, (160, 240, 3))])
def test_draft_mode_keeps_at_least_so_many_pixels(least, shape):
    data = encode_jpeg(smooth(160, 240), 95)
    pixels = decode(data, least)
    assert pixels.shape == shape
    whole = decode(data).astype(float)
    step = 160 // shape[0]
    means = whole.reshape(shape[0], step, shape[1], step, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels, means, atol=3)  # JPEG's rounding
    picture = decode_picture(data, lambda width, height: least if (width, height) == (240, 160) else -1)
    assert picture.size == (240, 160)
    np.testing.assert_array_equal(picture.image, pixels)


def test_draft_mode_is_for_jpeg_and_keeps_the_kind():
    np.testing.assert_array_equal(decode(encode_png(smooth(40, 40)), 5), smooth(40, 40))
    assert (decode(encoded(Image.fromarray(RAMP // 4), "JPEG"), 5)[..., 0] < 70).all()  # grey
    cmyk = decode(encoded(Image.new("CMYK", (80, 80), (0, 255, 255, 0)), "JPEG", quality=100), 20)
    np.testing.assert_allclose(cmyk.astype(int), np.full((20, 20, 3), (255, 0, 0)), atol=3)


def test_jpeg_and_png_are_kept_as_they_are():
    assert keepable(encode_png(np.zeros((1, 1, 3), np.uint8)))
    assert keepable(encode_jpeg(np.zeros((1, 1, 3), np.uint8), 90))
    assert not keepable(encoded(Image.new("L", (1, 1)), "BMP"))
