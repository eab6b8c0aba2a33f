"""Crops, boxes, mirrors, colour noise and ten crops, down to the last offset."""

import numpy as np
import pytest
from PIL import Image

from tinyconv.data.decode import Picture
from tinyconv.data.resize import central_square, cut_and_resize
from tinyconv.data.transforms import BoxDraws, Draws, EvalTransform, RandomResizedCrop, TrainTransform

MEAN, STD = np.array([10.0, 20.0, 30.0]), np.array([2.0, 4.0, 5.0])
ZERO, ONE = np.zeros(3), np.ones(3)


def square(size: int = 6) -> np.ndarray:
    """Red is the row, green the column, blue 7."""
    y, x = np.mgrid[:size, :size]
    return np.stack([y, x, np.full_like(y, 7)], axis=2).astype(np.uint8)


def apply(transform, draws: Draws | None = None, index: int = 0, size: int = 6) -> np.ndarray:
    out = np.full((transform.rows, transform.crop, transform.crop, 3), np.nan, np.float32)
    transform.apply(square(size), out, draws, index)
    return out


def fixed(top: int = 0, left: int = 0, mirrored: bool = False, colour: np.ndarray = ZERO) -> Draws:
    return Draws(np.array([top]), np.array([left]), np.array([mirrored]), colour[None].astype(np.float32))


def test_normalises_each_channel():
    out = apply(TrainTransform(6, 4, MEAN, STD), fixed(1, 2))
    np.testing.assert_allclose(out[0], (square()[1:5, 2:6] - MEAN) / STD, rtol=1e-6)
    assert out.dtype == np.float32


def test_mirrors_columns_and_keeps_colours():
    out = apply(TrainTransform(6, 4, MEAN, STD), fixed(0, 1, mirrored=True))
    np.testing.assert_allclose(out[0], (square()[0:4, 1:5][:, ::-1] - MEAN) / STD, rtol=1e-6)


def test_every_offset_is_reached_the_last_included():
    draws = TrainTransform(256, 224, MEAN, STD).draw(0, 0, 5000)
    for offsets in (draws.top, draws.left):
        np.testing.assert_array_equal(np.unique(offsets), np.arange(33))  # 0 .. 256 - 224
    assert abs(np.corrcoef(draws.top, draws.left)[0, 1]) < 4 / 5000**0.5  # independent: 4 standard deviations
    out = apply(TrainTransform(6, 4, ZERO, ONE), fixed(2, 2))
    assert out[0, -1, -1].tolist() == [5, 5, 7]


def test_half_are_mirrored_or_none():
    mirrored = TrainTransform(6, 4, MEAN, STD).draw(0, 0, 10_000).mirrored
    assert abs(mirrored.mean() - 0.5) < 0.02  # 4 standard deviations
    assert not TrainTransform(6, 4, MEAN, STD, flip=False).draw(0, 0, 100).mirrored.any()


def test_colour_noise_is_that_of_the_paper():
    values = np.array([0.2, 0.02, 0.004])
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    transform = TrainTransform(6, 4, MEAN, STD, color_noise=0.1, eigenvalues=values, eigenvectors=vectors)
    colour = transform.draw(3, 1, 100_000).colour / 255
    # sum_j p_j a_j lambda_j with a ~ N(0, 0.1) has the covariance P diag((0.1 lambda)^2) P^T
    expected = vectors @ np.diag((0.1 * values) ** 2) @ vectors.T
    np.testing.assert_allclose(np.cov(colour.T), expected, atol=0.02 * expected.max())  # 4 std deviations
    np.testing.assert_allclose(colour.mean(axis=0), ZERO, atol=4 * 0.02 / 100_000**0.5)
    assert (255 * np.abs(colour)).max() < 60  # a few grey levels, not hundreds


def test_colour_noise_is_the_same_for_all_pixels():
    colour = np.array([1.0, -2.0, 3.0])
    out = apply(TrainTransform(6, 4, MEAN, STD), fixed(colour=colour))
    np.testing.assert_allclose(out[0], (square()[:4, :4] + colour - MEAN) / STD, rtol=1e-6)


def test_draws_depend_on_seed_and_epoch():
    transform = TrainTransform(32, 24, MEAN, STD, color_noise=0.1, eigenvalues=ONE, eigenvectors=np.eye(3))
    tables = [transform.draw(*key, 50) for key in ((1, 2), (1, 2), (1, 3), (2, 2))]
    assert all((getattr(tables[0], name) == getattr(tables[1], name)).all() for name in vars(tables[0]))
    assert all((tables[0].colour != other.colour).all() for other in tables[2:])


def test_central_crop():
    np.testing.assert_array_equal(apply(EvalTransform(6, 4, ZERO, ONE))[0], square()[1:5, 1:5])
    np.testing.assert_array_equal(apply(EvalTransform(6, 3, ZERO, ONE))[0], square()[1:4, 1:4])


def test_ten_crops_in_their_order():
    out = apply(EvalTransform(6, 4, MEAN, STD, ten_crop=True))
    image = (square() - MEAN) / STD
    five = [image[:4, :4], image[:4, 2:], image[2:, :4], image[2:, 2:], image[1:5, 1:5]]
    np.testing.assert_allclose(out, [*five, *(crop[:, ::-1] for crop in five)], rtol=1e-6)


def test_a_crop_as_large_as_the_square():
    transform = TrainTransform(6, 6, ZERO, ONE, flip=False)
    draws = transform.draw(0, 0, 9)
    assert draws.top.max() == draws.left.max() == 0
    np.testing.assert_array_equal(apply(transform, draws, 8)[0], square())


@pytest.mark.parametrize("arguments, options, message", [
    ((4, 6, MEAN, STD), {}, "crop is 6 and resize 4"),
    ((6, 0, MEAN, STD), {}, "crop is 0"),
    ((6, 4, MEAN, np.array([1, 0, 1])), {}, "above 0"),
    ((6, 4, MEAN * np.nan, STD), {}, "must be finite"),
    ((6, 4, MEAN, STD), {"color_noise": 0.1}, "needs eigenvalues"),
    ((6, 4, MEAN, STD), {"color_noise": -1}, "color_noise is -1"),
])
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        TrainTransform(*arguments, **options)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="seed -1 and epoch 0 must be at least 0"):
        TrainTransform(6, 4, MEAN, STD).draw(-1, 0, 1)


def two_steps(transform, image: np.ndarray, draws, row: int = 0) -> np.ndarray:
    """What cut() in a worker and finish() in the consumer's process make of an image."""
    picture = Picture(Image.fromarray(image), image.shape[1::-1])
    pixels = np.full((transform.side, transform.side, 3), 77, np.uint8)
    transform.cut(picture, pixels, draws, row)
    out = np.full((transform.rows, transform.crop, transform.crop, 3), np.nan, np.float32)
    transform.finish(pixels, out, draws, row)
    return out


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", [(30, 30), (30, 41), (47, 30), (60, 90), (10, 10), (300, 7)])
def test_two_steps_are_the_same_as_one(shape):
    """Bit for bit, whether the square is kept or not."""
    transform = TrainTransform(30, 24, MEAN, STD, color_noise=0.1, eigenvalues=ONE, eigenvectors=np.eye(3))
    draws = transform.draw(1, 2, 20)
    kept = np.asarray(central_square(Image.fromarray(noise(*shape)), 30))
    for row in range(20):
        np.testing.assert_array_equal(two_steps(transform, noise(*shape), draws, row),
                                      apply_to(transform, kept, draws, row))
    for ten_crop in (False, True):
        evaluation = EvalTransform(30, 24, MEAN, STD, ten_crop=ten_crop)
        np.testing.assert_array_equal(two_steps(evaluation, noise(*shape), None), apply_to(evaluation, kept, None, 0))


def apply_to(transform, kept: np.ndarray, draws, row: int) -> np.ndarray:
    out = np.empty((transform.rows, transform.crop, transform.crop, 3), np.float32)
    transform.apply(kept, out, draws, row)
    return out


def test_rows_of_draws_may_be_taken():
    draws = TrainTransform(32, 24, MEAN, STD, color_noise=0.1, eigenvalues=ONE, eigenvectors=np.eye(3)).draw(0, 0, 9)
    some = draws.take(np.array([7, 2]))
    assert all((getattr(some, name) == getattr(draws, name)[[7, 2]]).all() for name in vars(draws))


def test_the_central_square_is_not_resampled_where_it_has_its_size():
    image = noise(6, 11)
    np.testing.assert_array_equal(central_square(Image.fromarray(image), 6), image[:, 2:8])
    np.testing.assert_array_equal(central_square(Image.fromarray(image.transpose(1, 0, 2)), 6),
                                  image.transpose(1, 0, 2)[2:8])
    halved = np.asarray(central_square(Image.fromarray(np.full((12, 30, 3), 9, np.uint8)), 6))
    np.testing.assert_array_equal(halved, np.full((6, 6, 3), 9))


class TestRandomResizedCrop:
    """Boxes as torchvision documents them."""

    transform = RandomResizedCrop(8, ZERO, ONE, flip=False)

    def boxes(self, width: int, height: int, n: int = 4000, **options) -> np.ndarray:
        transform = RandomResizedCrop(8, ZERO, ONE, **options)
        keys = transform.draw(0, 0, n).key
        return np.array([transform.box(width, height, int(key)) for key in keys], float)

    def test_boxes_lie_inside_and_have_the_shares_and_shapes_asked_for(self):
        left, top, w, h = self.boxes(500, 375).T
        assert (left >= 0).all() and (top >= 0).all() and (left + w <= 500).all() and (top + h <= 375).all()
        assert (np.minimum(w, h) > 0).all()
        share, ratio = w * h / (500 * 375), w / h
        assert 0.079 < share.min() < 0.1 and share.max() > 0.9
        assert 0.74 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.35
        small = share < 0.5  # all of these fit: uniform in area, and ratios symmetric about 1
        assert abs(share[small].mean() - 0.29) < 4 * 0.42 / 12**0.5 / small.sum() ** 0.5
        assert abs(np.log(ratio[small]).mean()) < 4 * 0.166 / small.sum() ** 0.5

    def test_all_places_are_equally_likely_the_last_included(self):
        left, top, w, h = self.boxes(10, 10, scale=(0.25, 0.25), ratio=(1, 1)).T
        assert (w == 5).all() and (h == 5).all()
        for offsets in (left, top):
            counts = np.bincount(offsets.astype(int))
            assert len(counts) == 6 and (abs(counts - 4000 / 6) < 4 * 25).all()
        assert abs(np.corrcoef(left, top)[0, 1]) < 4 / 4000**0.5

    @pytest.mark.parametrize("size, box", [((1000, 10), (493, 0, 13, 10)), ((10, 1000), (0, 493, 10, 13)),
                                           ((100, 80), (0, 0, 100, 80))])
    def test_what_never_fits_gives_a_central_box(self, size, box):
        """All of the area: it fits in no other shape than the image's own."""
        assert {tuple(found) for found in self.boxes(*size, n=5, scale=(1.0, 1.0))} == {box}

    def test_pixels_are_those_of_the_box(self):
        """Without scaling they are copied; scaled, only the box has a say."""
        image = noise(40, 50)
        unscaled = RandomResizedCrop(8, MEAN, STD, scale=(64 / 2000, 64 / 2000), ratio=(1, 1))
        draws = unscaled.draw(4, 5, 30)
        assert 0 < draws.mirrored.sum() < 30
        for row in range(30):
            left, top, w, h = unscaled.box(50, 40, int(draws.key[row]))
            assert w == h == 8
            expected = image[top : top + 8, left : left + 8][:, :: -1 if draws.mirrored[row] else 1]
            np.testing.assert_allclose(two_steps(unscaled, image, draws, row)[0], (expected - MEAN) / STD, rtol=1e-5,
                                       atol=1e-5)
        draws = self.transform.draw(4, 5, 30)
        for row in range(30):
            left, top, w, h = self.transform.box(50, 40, int(draws.key[row]))
            outside = np.full_like(image, 255)
            outside[top : top + h, left : left + w] = 10
            assert (two_steps(self.transform, outside, draws, row) == 10).all()
            expected = Image.fromarray(image[top : top + h, left : left + w]).resize((8, 8), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(two_steps(self.transform, image, draws, row)[0], expected)

    def test_draft_mode_only_where_the_box_keeps_its_pixels(self):
        draws = self.transform.draw(0, 0, 200)
        assert all(self.transform.least(15, 99, draws, row) is None for row in range(200))
        for row in range(200):
            least = self.transform.least(160, 240, draws, row)
            _, _, w, h = self.transform.box(160, 240, int(draws.key[row]))
            for scale in (1, 2, 4, 8):
                if 160 // scale >= least:
                    assert min(w, h) / scale >= 8

    def test_a_photo_in_draft_mode_shows_the_same_place(self):
        y, x = np.mgrid[:160, :240]
        whole = Image.fromarray(np.stack([y, x, 0 * x], axis=2).astype(np.uint8))
        draws = self.transform.draw(0, 0, 40)
        for row in range(40):
            pixels = np.empty((2, 8, 8, 3), np.uint8)
            for out, image in zip(pixels, (whole, whole.reduce(2)), strict=True):
                self.transform.cut(Picture(image, whole.size), out, draws, row)
            np.testing.assert_allclose(*pixels.astype(float), atol=2.5)  # a pixel of the smaller, and rounding

    def test_keys_depend_on_seed_epoch_and_image(self):
        keys = [self.transform.draw(*key, 50).key for key in ((1, 2), (1, 2), (1, 3), (2, 2))]
        assert (keys[0] == keys[1]).all() and all((keys[0] != other).all() for other in keys[2:])
        assert len(set(keys[0])) == 50

    def test_colour_noise(self):
        draws = BoxDraws(np.array([5]), np.array([False]), np.array([[1.0, -2.0, 3.0]], np.float32))
        out = two_steps(RandomResizedCrop(8, MEAN, STD), np.full((20, 20, 3), 50, np.uint8), draws)
        np.testing.assert_allclose(out, np.broadcast_to((50 + draws.colour[0] - MEAN) / STD, out.shape), rtol=1e-6)

    @pytest.mark.parametrize("options, message", [
        ({"scale": (0, 1)}, "scale is"), ({"scale": (0.5, 0.2)}, "scale is"), ({"scale": (0.5, 2)}, "scale is"),
        ({"ratio": (0, 1)}, "ratio is"), ({"ratio": (2, 1)}, "ratio is"), ({"color_noise": 1}, "needs eigenvalues"),
    ])
    def test_bad_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            RandomResizedCrop(8, MEAN, STD, **options)
        with pytest.raises(ValueError, match="crop is 0"):
            RandomResizedCrop(0, MEAN, STD)


def test_a_box_is_cut_before_it_is_resized():
    image = Image.fromarray(noise(20, 30))
    np.testing.assert_array_equal(cut_and_resize(image, (3, 4, 15, 16), 12), np.asarray(image)[4:16, 3:15])
