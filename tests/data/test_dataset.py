"""Opening packs, good and damaged ones."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from tinyconv.data import single
from tinyconv.data.dataset import Pack
from tinyconv.data.errors import DecodeError, PackError
from tinyconv.data.pack import pack

from .samples import flat

TRAIN = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 1]  # ant/03 and bee/02 are held out


@pytest.fixture(params=["raw", "encoded"])
def packed(request, class_folder, tmp_path):
    return pack(class_folder, tmp_path / "p.h5", storage=request.param, progress=False).path


def test_attributes(packed):
    with Pack(packed) as made:
        assert made.classes == ["ant", "bee"] and made.wnids == [] and made.splits == ["train", "val"]
        assert made.skipped == [] and made.licence == "not stated by the source"
        assert made.split("train") is made.split("train")
        assert "11 train, 2 val images of 2 classes" in repr(made)
        with pytest.raises(PackError, match="no 'test' split; it has train, val"):
            made.split("test")
        for index in (-1, 11):
            with pytest.raises(IndexError, match="images 0..10"):
                made.split("train").image(index)
        with pytest.raises(ValueError):
            made.split("train").labels[0] = 1


def test_a_split_too_large_for_memory_is_read_image_by_image(packed, monkeypatch):
    monkeypatch.setattr(single, "IN_MEMORY", 0)
    with Pack(packed) as made, ThreadPoolExecutor(4) as threads:
        train = made.split("train")
        assert isinstance(train._images._data, h5py.Dataset)
        for image, value in zip(threads.map(train.image, range(11)), TRAIN, strict=True):
            np.testing.assert_array_equal(image, flat(value))


def test_images_outlive_the_file_when_in_memory(packed):
    with Pack(packed) as made:
        train = made.split("train")
    np.testing.assert_array_equal(train.image(0), flat(1))


def test_damaged_bytes_name_the_image(class_folder, tmp_path):
    path = pack(class_folder, tmp_path / "p.h5", storage="encoded", progress=False).path
    with h5py.File(path, "r+") as file:
        file["train/encoded"][:60] = 0
    with Pack(path) as made, pytest.raises(DecodeError, match="p.h5/train: ant/01.png: not an image"):
        made.split("train").image(0)


@pytest.mark.parametrize("part", [0.2, 0.6, 0.999])
def test_a_truncated_pack_is_an_error(packed, part):
    whole = packed.read_bytes()
    packed.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(PackError, match="p.h5 is truncated: its end is missing; copy or pack it again"):
        Pack(packed)


def test_wrong_kinds_of_file(tmp_path):
    for content in (b"", b"PK\x03\x04 some other file" * 100):
        (tmp_path / "x.h5").write_bytes(content)
        with pytest.raises(PackError, match="x.h5 is no HDF5 file"):
            Pack(tmp_path / "x.h5")
    with pytest.raises(PackError, match="does not exist; make a pack"):
        Pack(tmp_path / "y.h5")
    with pytest.raises(PackError, match="is a folder"):
        Pack(tmp_path)
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file["weights"] = [1, 2, 3]
    with pytest.raises(PackError, match="HDF5 file but no pack"):
        Pack(tmp_path / "z.h5")


def replace(name, value):
    def damage(file):
        del file[name]
        file[name] = value
    return damage


def test_a_pack_of_the_future(packed):
    with h5py.File(packed, "r+") as file:
        file.attrs["version"] = 2
    with pytest.raises(PackError, match="layout 2, but this tinyconv reads 1"):
        Pack(packed)


@pytest.mark.parametrize("damage, message", [
    (replace("train/labels", np.r_[np.zeros(10), np.nan]), r"train/labels holds float64 \(NaN, perhaps\)"),
    (replace("train/labels", [0] * 10 + [2]), r"train/labels\[10\] is 2, not one of 0..1"),
    (replace("val/labels", [-1, 0]), r"val/labels\[0\] is -1, "),
    (replace("val/labels", np.zeros(0, int)), r"val/labels has shape \(0,\)"),
    (replace("train/labels", [0] * 10), "files and labels differ in length"),
    (replace("mean", [np.nan, 0, 0]), "/mean holds .nan"),
    (replace("pca/eigenvectors", [1.0, 2.0, 3.0]), r"/pca/eigenvectors has shape \(3,\), not \(3, 3\)"),
    (lambda file: file.attrs.__delitem__("licence"), "no attribute licence"),
    (lambda file: file.__delitem__("std"), "std"),
    (lambda file: file.__delitem__("train"), "no /train"),
])
def test_damaged_packs(packed, damage, message):
    with h5py.File(packed, "r+") as file:
        damage(file)
    with pytest.raises(PackError, match=f"p.h5 is a damaged pack: .*{message}.*; pack the source again"):
        Pack(packed)


def test_damaged_offsets_and_images(class_folder, tmp_path):
    for storage, name, value in (("encoded", "val/offsets", [0, 9, 5]), ("encoded", "val/offsets", [0, 1]),
                                 ("raw", "val/images", np.zeros((2, 3, 3, 4), np.uint8)),
                                 ("raw", "val/images", np.zeros((2, 3, 3)))):
        path = pack(class_folder, tmp_path / "p.h5", storage=storage, progress=False).path
        with h5py.File(path, "r+") as file:
            replace(name, value)(file)
        with pytest.raises(PackError, match=f"damaged pack: /{name}"):
            Pack(path)


def test_the_embedded_pack(embedded):
    assert len(embedded.split("train")) >= 10_000 and len(embedded.split("val")) >= 2_000
    assert embedded.classes[0] == "T-shirt/top" and embedded.classes[9] == "Ankle boot" and embedded.grey
    for name in ("train", "val"):
        labels = embedded.split(name).labels
        np.testing.assert_array_equal(np.bincount(labels), np.full(10, len(labels) // 10))  # balanced
    # The official training set begins with an ankle boot and a T-shirt, the test set with an ankle boot.
    assert embedded.split("train").labels[:2].tolist() == [9, 0] and embedded.split("val").labels[0] == 9
    boot = embedded.split("train").image(0)
    assert boot.shape == (28, 28, 3) and boot[20, 10:14, 0].min() > 100 and boot[0].max() == 0
    assert int(boot[..., 0].sum()) == 76_247
    np.testing.assert_allclose(embedded.mean, 72.94, atol=1)  # 0.2860 of 255, over all 60,000
    np.testing.assert_allclose(embedded.std, 90.02, atol=1)  # 0.3530 of 255
    assert "Zalando SE" in embedded.licence and "Permission is hereby granted" in embedded.licence
    assert embedded.path.stat().st_size < 7.6e6


def test_a_copy_of_the_embedded_pack_is_read_only_touched(embedded, tmp_path):
    copy = tmp_path / "copy.h5"
    shutil.copyfile(embedded.path, copy)
    copy.chmod(0o444)
    with Pack(copy) as pack_:
        assert pack_.split("val").image(3).sum() == embedded.split("val").image(3).sum()
    assert copy.read_bytes() == embedded.path.read_bytes()
