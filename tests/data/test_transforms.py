"""Crops, mirrors, colour noise and ten crops, down to the last offset."""

import numpy as np
import pytest

from tinyconv.data.transforms import Draws, EvalTransform, TrainTransform

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
