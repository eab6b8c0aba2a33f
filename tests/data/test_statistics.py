"""Sums are exact; principal components are those of the pixels scaled to 0..1."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyconv.data import resize
from tinyconv.data.resize import shrink_short_side
from tinyconv.data.statistics import PixelStatistics


def central_square(pixels: np.ndarray, size: int) -> np.ndarray:
    return np.array(resize.central_square(Image.fromarray(pixels), size))


def statistics_of(*images: np.ndarray) -> PixelStatistics:
    statistics = PixelStatistics()
    for image in images:
        statistics.add(image)
    return statistics


def test_by_hand():
    image = np.array([[[0, 10, 20], [255, 10, 40]]], np.uint8)
    statistics = statistics_of(image)
    np.testing.assert_array_equal(statistics.mean, [127.5, 10, 30])
    np.testing.assert_allclose(statistics.std, [127.5, 0, 10], rtol=1e-15)
    np.testing.assert_allclose(statistics.covariance[0], [0.25, 0, 127.5 * 10 / 255**2], rtol=1e-15)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_same_as_numpy_over_all_pixels_whatever_the_order(seed, count):
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (*random.integers(1, 9, 2), 3), dtype=np.uint8) for _ in range(count)]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    statistics, backwards = statistics_of(*images), statistics_of(*images[::-1])
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(statistics.std, pixels.std(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(statistics.covariance, np.cov((pixels / 255).T, bias=True), atol=1e-12)
    np.testing.assert_array_equal(statistics.covariance, backwards.covariance)  # exact: integer sums


def test_principal_components_diagonalise_and_are_sorted():
    random = np.random.default_rng(0)
    statistics = statistics_of((random.random((50, 50, 3)) * [250, 100, 20]).astype(np.uint8))
    values, vectors = statistics.principal_components()
    assert values[0] > values[1] > values[2] > 0
    np.testing.assert_allclose(vectors.T @ statistics.covariance @ vectors, np.diag(values), atol=1e-15)
    assert (np.abs(vectors).max(axis=0) == vectors.max(axis=0)).all()  # the sign is fixed


def test_sums_larger_than_float64_holds_exactly():
    statistics = statistics_of(np.full((2, 2, 3), 255, np.uint8))
    statistics.count, statistics._sum, statistics._products = (
        total * 10**17 for total in (statistics.count, statistics._sum, statistics._products))
    statistics.add(np.full((1, 1, 3), 255, np.uint8))
    np.testing.assert_array_equal(statistics.covariance, np.zeros((3, 3)))


def test_central_square_is_central():
    wide = np.zeros((4, 10, 3), np.uint8)
    wide[:, 3:7] = 200
    np.testing.assert_array_equal(central_square(wide, 4), np.full((4, 4, 3), 200))
    np.testing.assert_array_equal(central_square(wide.transpose(1, 0, 2), 4), np.full((4, 4, 3), 200))
    assert central_square(wide, 9).shape == (9, 9, 3)


def test_central_square_is_that_of_the_resized_image():
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    np.testing.assert_array_equal(central_square(image, 8), shrink_short_side(image, 8)[:, 4:12])


def test_short_side_shrinks_and_never_grows():
    assert shrink_short_side(np.zeros((40, 100, 3), np.uint8), 20).shape == (20, 50, 3)
    assert shrink_short_side(np.zeros((100, 41, 3), np.uint8), 20).shape == (49, 20, 3)
    assert shrink_short_side(np.zeros((10, 12, 3), np.uint8), 20).shape == (10, 12, 3)
