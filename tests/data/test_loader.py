"""Batches are the same whatever prepares them, can be resumed, and their memory is the consumer's."""

import threading
from pathlib import Path

import numpy as np
import pytest

from tinyconv.data.dataset import Pack
from tinyconv.data.errors import SampleError
from tinyconv.data.loader import Loader
from tinyconv.data.pack import pack
from tinyconv.data.synthetic import SyntheticSplit
from tinyconv.data.transforms import EvalTransform, RandomResizedCrop, TrainTransform

from .loading import EVAL, MEAN, RESIZED_CROP, STD, TEN_CROPS, TRAIN, Broken, Files, Pixels

TRANSFORMS = {"paper": TRAIN, "resized crop": RESIZED_CROP, "centre": EVAL, "ten crops": TEN_CROPS}


def loader(workers: int = 1, transform=TRAIN, split=None, **options) -> Loader:
    options = {"shuffle": True, "seed": 5, "keep": 0} | options
    return Loader(split or Files(), 5, transform, workers=workers, **options)


def assert_same(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for (images, labels), (others, other_labels) in zip(one, other, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tinyconv-loader")]


@pytest.mark.parametrize("keep", [0, 1 << 30], ids=["fresh", "kept"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_same_batches_with_any_number_of_workers(transform, keep):
    """0, 1, 2 and 4 processes; from the beginning and from the middle; kept squares or none; files or pixels."""
    expected = {epoch: list(loader(0, transform).epoch(epoch)) for epoch in (0, 3)}
    assert not np.array_equal(expected[0][0][1], expected[3][0][1])  # another order
    for workers in (0, 1, 2, 4) if transform is TRAIN else (2,):
        with loader(workers, transform, keep=keep) as same:
            assert_same(same.epoch(3, start=2), expected[3][2:])
            for epoch in (0, 3, 0):
                assert_same(same.epoch(epoch), expected[epoch])
    pixels = [list(loader(workers, transform, Pixels(), keep=keep).epoch(3)) for workers in (0, 1)]
    assert_same(*pixels)
    rows = np.repeat(loader().order(3) % 2 == 0, transform.rows)  # those are PNG files, which lose nothing
    np.testing.assert_array_equal(*(np.concatenate([images for images, _ in some])[rows]
                                    for some in (pixels[0], expected[3])))


def test_an_epoch_may_be_resumed_at_any_batch():
    with loader(2) as first:
        whole = list(first.epoch(2))
        for start in range(5):
            assert_same(whole[start:], first.epoch(2, start=start))
        assert list(first.epoch(2, start=5)) == []
        for start in (-1, 6):
            with pytest.raises(ValueError, match=f"start is {start}; the epoch has batches 0..4"):
                first.epoch(2, start=start)


def test_left_and_begun_again():
    """What an epoch that was left had asked for is not mistaken for the next one's."""
    with loader(2) as one:
        expected = list(loader(0).epoch(1))
        for taken in (1, 2, 3):
            batches = one.epoch(0)
            for _ in range(taken):
                next(batches)
            batches.close()
            assert_same(one.epoch(1), expected)
        assert len(one.pids) == 2


def test_two_epochs_at_a_time():
    with loader(1) as one:
        pairs = list(zip(one.epoch(0), one.epoch(1), strict=True))
        assert len(one.pids) == 2  # a team of one for each
    assert_same([first for first, _ in pairs], loader(0).epoch(0))
    assert_same([second for _, second in pairs], loader(0).epoch(1))


def test_augmentation_depends_on_the_image_not_on_its_place():
    """A larger batch, or none left out, changes nothing for an image."""
    small, large = loader(), Loader(Files(), 23, TRAIN, shuffle=False, seed=5)
    images = np.concatenate([images for images, _ in small.epoch(1)])
    np.testing.assert_array_equal(images, next(iter(large.epoch(1)))[0][small.order(1)])


def test_epochs_and_seeds_differ():
    orders = [loader().order(0), loader().order(1), loader(seed=6).order(0)]
    assert all(sorted(order) == list(range(23)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert loader(shuffle=False).order(4).tolist() == list(range(23))


@pytest.mark.parametrize("keep", [0, 1 << 30])
def test_batches_hold_what_the_split_says(keep):
    split = SyntheticSplit(7, 4, 12, 0)
    batches = list(Loader(split, 5, EVAL, shuffle=False, seed=0, keep=keep).epoch(0))
    assert [len(labels) for _, labels in batches] == [5, 2]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), split.labels)
    for images, _ in batches:
        assert images.dtype == np.float32 and images.transpose(0, 2, 3, 1).flags.c_contiguous
    expected = (split.image(6)[2:10, 2:10] - MEAN) / STD
    np.testing.assert_allclose(batches[1][0][1].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keep", [0, 1 << 30])
def test_ten_crops_of_an_image_are_neighbours(keep):
    split = SyntheticSplit(3, 3, 12, 0)
    images, labels = next(Loader(split, 3, TEN_CROPS, shuffle=False, seed=0, keep=keep).epoch(0))
    assert images.shape == (30, 3, 8, 8) and labels.tolist() == [0, 1, 2]
    image = (split.image(1) - MEAN) / STD
    np.testing.assert_allclose(images[14].transpose(1, 2, 0), image[2:10, 2:10], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(images[18].transpose(1, 2, 0), image[4:, 4:][:, ::-1], rtol=1e-5, atol=1e-6)


def test_drop_last():
    assert len(loader()) == 5 and len(loader(drop_last=True)) == 4
    assert [len(labels) for _, labels in loader(drop_last=True).epoch(0)] == [5] * 4
    with pytest.raises(ValueError, match="4 images: no batch of 5"):
        loader(split=Files(4), drop_last=True)


def test_memory_comes_from_the_allocator_in_the_consumers_thread():
    blocks = []

    def empty(shape, dtype):
        assert threading.current_thread() is threading.main_thread()
        blocks.append(np.full(shape, np.nan, dtype))  # stale bytes do not matter
        return blocks[-1]

    batches = list(loader(2, empty=empty).epoch(0))
    assert all(np.shares_memory(images, block) for (images, _), block in zip(batches, blocks, strict=True))
    assert all(np.isfinite(images).all() for images, _ in batches)


@pytest.mark.parametrize("workers, ahead", [(0, 0), (1, 1), (3, 1)])
def test_one_batch_of_floats_is_ahead(workers, ahead):
    made = []

    def empty(shape, dtype):
        made.append(shape)
        return np.empty(shape, dtype)

    batches = loader(workers, empty=empty, split=Files(100)).epoch(0)
    for taken in range(1, 5):
        next(batches)
        assert len(made) == taken + ahead
    batches.close()


def test_workers_wait_for_the_consumer(monkeypatch):
    """No more is asked for than workers + 1 batches beyond the one of floats that is ahead."""
    from tinyconv.data.team import Team

    asked = []
    true_ask = Team.ask
    monkeypatch.setattr(Team, "ask", lambda team, *what: asked.append(what) or true_ask(team, *what))
    batches = loader(2, split=Files(100)).epoch(0)
    for taken in range(1, 6):
        next(batches)
        assert len(asked) <= taken + 1 + 3
    batches.close()


@pytest.mark.parametrize("keep", [0, 1 << 30])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_names_the_image(workers, keep):
    """It comes when its batch would have come, and the loader can be used again."""
    split, taken = Broken(), 0
    with loader(workers, EVAL, split, shuffle=False, keep=keep) as broken:
        for _ in range(2):
            with pytest.raises(SampleError, match="image 13, photo 13: the file is empty"):
                for _ in broken.epoch(0):
                    taken += 1
            assert loader_threads() == []
        assert_same(broken.epoch(0, start=3), list(loader(0, EVAL, Files(), shuffle=False).epoch(0))[3:])
    assert taken == 4


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


def test_images_are_decoded_once_if_they_fit():
    split = SyntheticSplit(20, 4, 12, 0)
    calls = []
    true_image = split.image
    split.image = lambda index: calls.append(index) or true_image(index)
    kept = Loader(split, 5, TRAIN, shuffle=True, seed=0, workers=2)
    unkept = Loader(split, 5, TRAIN, shuffle=True, seed=0, workers=0, keep=20 * 12 * 12 * 3 - 1)
    for epoch in range(2):
        assert_same(kept.epoch(epoch), unkept.epoch(epoch))
    assert len(calls) == 20 + 40
    assert kept.pids == []  # nothing to decode


def test_kept_files_need_workers_once():
    with loader(2, keep=1 << 30) as kept:
        list(kept.epoch(0, start=3))
        assert not kept._squares.ready.all() and len(kept.pids) == 2
        list(kept.epoch(1))
        assert kept._squares.ready.all()
        kept.close()
        list(kept.epoch(2))
        assert kept.pids == []


@pytest.mark.parametrize("transform", ["paper", "resized crop"])
def test_photos_of_a_sharded_pack(tmp_path_factory, transform):
    """Real photos, 0 and 2 processes, and from the middle."""
    photos = Path(__file__).parents[3] / "shared" / "data" / "imagenet-photos-200.tar"
    if not photos.is_file():
        pytest.skip("no photos of ImageNet on this machine")
    folder = tmp_path_factory.getbasetemp() / "photos.pack"
    if not folder.exists():
        pack(photos, folder, workers=0, shard_images=50, resize=256, progress=False)
    data = Pack(folder)
    colour = {"color_noise": 0.1, "eigenvalues": data.eigenvalues, "eigenvectors": data.eigenvectors}
    augment = {"paper": TrainTransform(256, 224, data.mean, data.std, **colour),
               "resized crop": RandomResizedCrop(224, data.mean, data.std, **colour)}[transform]
    loaders = [Loader(data.split("train"), 32, augment, shuffle=True, seed=3, workers=workers, keep=0)
               for workers in (0, 2)]
    expected = list(loaders[0].epoch(1))
    assert_same(loaders[1].epoch(1), expected)
    assert_same(loaders[1].epoch(1, start=3), expected[3:])
    images = np.concatenate([images for images, _ in expected])
    assert len(images) == len(data.split("train")) > 100
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=0.1)


@pytest.mark.parametrize("options", [{"workers": -1}, {"seed": -1}, {"keep": -1}])
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
