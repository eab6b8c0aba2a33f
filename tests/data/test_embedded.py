"""The script that makes the embedded pack, on small IDX files; and that nothing heavy is imported early."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from tinyconv.data.dataset import Pack
from tinyconv.data.embedded import make_fashion_mnist as script
from tinyconv.data.errors import PackError


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def folder(tmp_path):
    """30 images of 28 x 28, image i all i, label 9 - i % 10."""
    images = np.repeat(np.arange(30, dtype=np.uint8), 784).reshape(30, 28, 28)
    labels = (9 - np.arange(30) % 10).astype(np.uint8)
    for name in ("train", "t10k"):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return tmp_path


def test_takes_the_first_of_each_class(folder, monkeypatch):
    monkeypatch.setattr(script, "PARTS", {"train": ("train", 2), "val": ("t10k", 1)})
    script.make(folder, folder / "out.h5")
    with Pack(folder / "out.h5") as pack:
        train, val = pack.split("train"), pack.split("val")
        assert len(train) == 20 and len(val) == 10
        assert train.labels[:3].tolist() == [9, 8, 7] and train.name(12) == "out.h5/train: train/00012"
        np.testing.assert_array_equal(train.image(12), np.full((28, 28, 3), 12))


def test_bad_files(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"no images"))
    with pytest.raises(PackError, match="no IDX file of bytes"):
        script.make(folder, folder / "out.h5")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(PackError, match="no IDX file of bytes|cannot read"):
        script.make(folder, folder / "out.h5")
    with pytest.raises(PackError, match="install Debian's dataset-fashion-mnist"):
        script.make(folder / "nowhere", folder / "out.h5")
    assert not (folder / "out.h5").exists()


def test_importing_the_package_is_light():
    code = ("import sys, tinyconv.data; "
            "heavy = {'h5py', 'PIL', 'scipy.io', 'matplotlib', 'tqdm'} & set(sys.modules); "
            "assert not heavy, heavy; tinyconv.data.Pack; assert 'h5py' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
