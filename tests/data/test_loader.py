"""Batches are the same whatever prepares them, can be resumed, and leave no threads behind."""

import threading

import numpy as np
import pytest

from tinyconv.data import squares
from tinyconv.data.errors import DecodeError, SampleError
from tinyconv.data.loader import Loader
from tinyconv.data.synthetic import SyntheticSplit
from tinyconv.data.transforms import EvalTransform, TrainTransform

MEAN, STD = np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
TRAIN = TrainTransform(12, 8, MEAN, STD, color_noise=0.1, eigenvalues=np.array([0.2, 0.1, 0.01]),
                       eigenvectors=np.eye(3))
EVAL = EvalTransform(12, 8, MEAN, STD)


def loader(workers: int = 1, transform=TRAIN, n: int = 23, **options) -> Loader:
    options = {"shuffle": True, "seed": 5} | options
    return Loader(SyntheticSplit(n, 4, 12, 0), 5, transform, workers=workers, **options)


def assert_same(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for (images, labels), (others, other_labels) in zip(one, other, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tinyconv-loader")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_same_batches_with_any_number_of_workers(workers):
    for epoch in (0, 3):
        assert_same(loader(0).epoch(epoch), loader(workers).epoch(epoch))


def test_an_epoch_may_be_resumed():
    first = loader()
    assert_same(list(first.epoch(2))[3:], loader().epoch(2, start=3))
    assert list(first.epoch(2, start=5)) == []
    for start in (-1, 6):
        with pytest.raises(ValueError, match=f"start is {start}; the epoch has batches 0..4"):
            first.epoch(2, start=start)


def test_augmentation_depends_on_the_image_not_on_its_place():
    """A larger batch, or none left out, changes nothing for an image."""
    small, large = loader(), Loader(SyntheticSplit(23, 4, 12, 0), 23, TRAIN, shuffle=False, seed=5)
    images = np.concatenate([images for images, _ in small.epoch(1)])
    np.testing.assert_array_equal(images, next(iter(large.epoch(1)))[0][small.order(1)])


def test_epochs_and_seeds_differ():
    orders = [loader().order(0), loader().order(1), loader(seed=6).order(0)]
    assert all(sorted(order) == list(range(23)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert loader(shuffle=False).order(4).tolist() == list(range(23))


def test_batches_hold_what_the_split_says():
    split = SyntheticSplit(7, 4, 12, 0)
    batches = list(Loader(split, 5, EVAL, shuffle=False, seed=0).epoch(0))
    assert [len(labels) for _, labels in batches] == [5, 2]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), split.labels)
    for images, _ in batches:
        assert images.dtype == np.float32 and images.transpose(0, 2, 3, 1).flags.c_contiguous
    expected = (split.image(6)[2:10, 2:10] - MEAN) / STD
    np.testing.assert_allclose(batches[1][0][1].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-6)


def test_ten_crops_of_an_image_are_neighbours():
    split = SyntheticSplit(3, 3, 12, 0)
    ten_crops = EvalTransform(12, 8, MEAN, STD, ten_crop=True)
    images, labels = next(Loader(split, 3, ten_crops, shuffle=False, seed=0).epoch(0))
    assert images.shape == (30, 3, 8, 8) and labels.tolist() == [0, 1, 2]
    expected = (split.image(1)[2:10, 2:10] - MEAN) / STD
    centre_of_image_1 = images[14].transpose(1, 2, 0)
    np.testing.assert_allclose(centre_of_image_1, expected, rtol=1e-5, atol=1e-6)


def test_drop_last():
    assert len(loader()) == 5 and len(loader(drop_last=True)) == 4
    assert [len(labels) for _, labels in loader(drop_last=True).epoch(0)] == [5] * 4
    with pytest.raises(ValueError, match="4 images: no batch of 5"):
        loader(n=4, drop_last=True)


def test_memory_comes_from_the_allocator_in_the_consumers_thread():
    blocks = []

    def empty(shape, dtype):
        assert threading.current_thread() is threading.main_thread()
        blocks.append(np.full(shape, np.nan, dtype))  # stale bytes do not matter
        return blocks[-1]

    batches = list(loader(2, empty=empty).epoch(0))
    assert all(np.shares_memory(images, block) for (images, _), block in zip(batches, blocks, strict=True))
    assert all(np.isfinite(images).all() for images, _ in batches)


@pytest.mark.parametrize("workers", [1, 3])
def test_look_ahead_is_bounded(workers):
    made = []

    def empty(shape, dtype):
        made.append(shape)
        return np.empty(shape, dtype)

    batches = loader(workers, empty=empty, n=100).epoch(0)
    for taken in range(1, 5):
        next(batches)
        assert len(made) == taken + workers
    batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_image(workers):
    split = SyntheticSplit(20, 4, 12, 0)
    true_image = split.image

    def image(index):
        if index == 13:
            raise DecodeError("the file is empty")
        return true_image(index)

    split.image = image
    taken = 0
    with pytest.raises(SampleError, match="image 13, synthetic image 13: the file is empty"):
        for _ in Loader(split, 5, EVAL, shuffle=False, seed=0, workers=workers).epoch(0):
            taken += 1
    assert taken == 2 and loader_threads() == []


def test_no_thread_outlives_the_loop():
    for _ in loader(3).epoch(0):
        assert loader_threads()
        break
    assert loader_threads() == []
    with pytest.raises(KeyboardInterrupt):
        for _ in loader(3).epoch(0):
            raise KeyboardInterrupt
    assert loader_threads() == []
    list(loader(3).epoch(0))
    assert loader_threads() == []


def test_images_are_decoded_once_if_they_fit(monkeypatch):
    split = SyntheticSplit(20, 4, 12, 0)
    calls = []
    true_image = split.image
    split.image = lambda index: calls.append(index) or true_image(index)
    kept = Loader(split, 5, TRAIN, shuffle=True, seed=0, workers=2)
    monkeypatch.setattr(squares, "_LIMIT", 0)
    unkept = Loader(split, 5, TRAIN, shuffle=True, seed=0)
    for epoch in range(2):
        assert_same(kept.epoch(epoch), unkept.epoch(epoch))
    assert len(calls) == 20 + 40


@pytest.mark.parametrize("options", [{"workers": -1}, {"seed": -1}])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match="at least 0"):
        loader(**options)
    with pytest.raises(ValueError, match="batch 0"):
        Loader(SyntheticSplit(2, 2, 12, 0), 0, EVAL, shuffle=False, seed=0)


def test_the_embedded_images(embedded):
    """Normalised by the pack's statistics, an epoch has mean 0 and standard deviation 1."""
    transform = EvalTransform(28, 28, embedded.mean, embedded.std)
    images = np.concatenate([images for images, _ in Loader(
        embedded.split("train"), 500, transform, shuffle=True, seed=1, workers=2).epoch(0)])
    assert images.shape == (14_000, 3, 28, 28)
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-3)  # float32 sums
