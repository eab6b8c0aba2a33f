"""The loading benchmark: the rival's transforms give the same pixels, and the command measures both sides."""

import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import loading
from tinyconv.data import EvalTransform, Loader, Pack
from tinyconv.data.decode import decode

torch = pytest.importorskip("torch")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos in a tar, 300 x 400 and more."""
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(6):
            y, x = np.mgrid[: 300 + 10 * number, :400]
            pixels = np.stack([y // 2, x // 2, (x + y) // 4], axis=2).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
            member = tarfile.TarInfo(f"photos/{number}.JPEG")
            member.size = buffer.tell()
            tar.addfile(member, io.BytesIO(buffer.getvalue()))
    return path


def test_both_sides_see_the_same_photo(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rival's chances set to the central crop and no colour noise: equal up to the rounding of resized
    pixels, of which torchvision's have other places: it resizes first and cuts then."""
    packs = loading.make_packs(photos, tmp_path)
    for name, tolerance in (("256", 1e-5), ("full", 2.5 / 30)):  # two grey levels and a half
        data = Pack(packs[name])
        split = data.split("train")
        some = loading.Photos([split.encoded(i) for i in range(len(split))], 2)
        theirs = loading.TorchvisionLike(some, "paper", data)
        monkeypatch.setattr(random, "randint", lambda low, high: (low + high) // 2)
        monkeypatch.setattr(random, "random", lambda: 0.9)
        monkeypatch.setattr(theirs, "_lighting", lambda: 0.0)
        transform = EvalTransform(256, 224, data.mean, data.std)
        ours, _ = next(Loader(some, 10, transform, shuffle=False, seed=0, keep=0).epoch(0))
        assert data.std.min() > 30
        for index in range(len(split)):
            np.testing.assert_allclose(ours[index], theirs[index][0].numpy(), atol=tolerance)
        np.testing.assert_array_equal(ours[0], ours[len(split)])


def test_packs_hold_the_photos(photos: Path, tmp_path: Path) -> None:
    packs = {name: Pack(path).split("train") for name, path in loading.make_packs(photos, tmp_path).items()}
    assert len(packs["256"]) == len(packs["full"]) > 3
    assert {min(decode(packs["256"].encoded(i)).shape[:2]) for i in range(len(packs["256"]))} == {256}
    assert min(min(decode(packs["full"].encoded(i)).shape[:2]) for i in range(len(packs["full"]))) >= 300


def test_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert loading.main(["--photos", str(photos), "--workers", "1", "--images", "8", "--batch", "4", "--rounds", "2",
                         "--packs", "256", "--out", str(out)]) == 0
    results = json.loads((out / "loading.json").read_text())["results"]
    assert [(line["transform"], line["goal"]) for line in results] == [("paper", 1.5), ("resized-crop", None)]
    assert all(len(rates) == 2 and min(rates) > 0 for line in results for rates in line["rates"].values())
    assert "resized-crop" in capsys.readouterr().out
    assert loading.main(["--photos", str(tmp_path / "none.tar")]) == 1
    assert "none.tar is not there" in capsys.readouterr().err
