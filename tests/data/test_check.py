"""A good pack passes; each kind of damage is named; the contact sheet shows the images."""

import json
import re
from dataclasses import asdict

import h5py
import pytest
from PIL import Image

from tinyconv.data.check import check, contact_sheet, main
from tinyconv.data.dataset import Pack
from tinyconv.data.errors import PackError
from tinyconv.data.manifest import FileRecord, read_manifest, write_manifest
from tinyconv.data.pack import pack

from .samples import flat


@pytest.fixture(params=[{}, {"crop": 10}])
def packed(request, class_folder, tmp_path):
    return pack(class_folder, tmp_path / "p.pack", shard_images=4, workers=0, progress=False, **request.param).path


def problems(path):
    return check(path, workers=0, progress=False).problems


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def sign(path):
    """Make sizes and checksums those of the files, as whoever changes them on purpose would."""
    manifest = read_manifest(path)
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            shard["file"] = asdict(FileRecord.of(path / shard["file"]["file"]))
    manifest["index"] = asdict(FileRecord.of(path / "index.h5"))
    if manifest["mean_image"]:
        manifest["mean_image"] = asdict(FileRecord.of(path / "mean-image.npy"))
    write_manifest(path / "manifest.json", manifest)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_good_pack(packed, workers):
    verdict = check(packed, workers=workers, progress=False)
    assert verdict.images == {"train": 11, "val": 2} and verdict.problems == []


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_changed_byte_anywhere_is_found(packed, at):
    for name in ("train-00001.h5", "val-00000.h5", "mean-image.npy"):
        if abs(at) < (packed / name).stat().st_size:
            flip(packed / name, at)
            assert problems(packed) == [f"{name} has another SHA-256 than when it was made: bytes changed"]
            if name == "mean-image.npy":
                with Pack(packed) as made, pytest.raises(PackError, match="mean-image.npy has another SHA-256"):
                    made.mean_image  # noqa: B018
            flip(packed / name, at)
    flip(packed / "index.h5", at)
    with pytest.raises(PackError, match=r"index.h5 has another SHA-256"):
        problems(packed)


def test_an_image_that_does_not_decode(class_folder, tmp_path):
    path = pack(class_folder, tmp_path / "p.pack", shard_images=4, workers=0, progress=False).path
    with h5py.File(path / "train-00001.h5", "r+") as file:
        start = int(file["offsets"][2])
        file["encoded"][start : start + 20] = 0
    sign(path)
    [problem] = problems(path)
    assert problem.startswith("train-00001.h5: image 2, ant/08.png: not an image of a known kind")


@pytest.mark.parametrize("change, message", [
    (lambda file: file["labels"].__setitem__(1, 7), "train-00001.h5: image 1: label 7 is not one of 0..1"),
    (lambda file: file["labels"].__setitem__(1, 1), "train-00001.h5: index.h5 has other labels"),
    (lambda file: file["files"].__setitem__(0, b"x"), "train-00001.h5: index.h5 has other files"),
    (lambda file: file.attrs.__setitem__("number", 5), "train-00001.h5: its head says .*'5'., not .*'1'."),
    (lambda file: file.__delitem__("files"), "train-00001.h5: KeyError: .*files")])
def test_a_shard_that_is_not_what_it_should_be(packed, change, message):
    with h5py.File(packed / "train-00001.h5", "r+") as file:
        change(file)
    sign(packed)
    assert re.match(message, problems(packed)[0])


def test_other_pixels(class_folder, tmp_path):
    """They decode, but the statistics are those of the old ones."""
    path = pack(class_folder, tmp_path / "p.pack", crop=10, workers=0, progress=False).path
    with h5py.File(path / "train-00000.h5", "r+") as file:
        file["images"][3, 5, 5, 2] += 1
    sign(path)
    found = problems(path)
    assert found[0] == "manifest.json: the sums of the training pixels are not those of the images"
    assert any(problem.startswith("mean is [") for problem in found)
    assert found[-1] == "mean-image.npy is not the mean of the training images"


def test_counts_of_the_manifest(packed):
    manifest = read_manifest(packed)
    manifest["images"]["val"] = 3
    write_manifest(packed / "manifest.json", manifest)
    assert problems(packed) == ["manifest.json: val has 3 images, its shards 2, the index 2"]


@pytest.mark.parametrize("storage", ["raw", "encoded"])
def test_one_file(class_folder, tmp_path, storage):
    path = pack(class_folder, tmp_path / "p.h5", storage=storage, progress=False).path
    assert problems(path) == []
    with h5py.File(path, "r+") as file:
        file["mean"][0] += 1e-3
        file["pca/eigenvectors"][0, 0] += 1e-3
    first, second = problems(path)
    assert first.startswith("mean is [5.819") and second == "the principal components are not those of the images"
    if storage == "encoded":
        with h5py.File(path, "r+") as file:
            file["val/encoded"][:30] = 0
        assert problems(path) == ["p.h5/val: ant/03.png: not an image of a known kind "
                                  "(JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP)"]


def test_the_contact_sheet_shows_the_images(packed, tmp_path):
    with Pack(packed) as made:
        contact_sheet(made, tmp_path / "sheet.png", classes=2, images=3, cell=20)
    with Image.open(tmp_path / "sheet.png") as image:
        colours = {colour[:3] for _, colour in image.convert("RGB").getcolors(1 << 20)}
    # ant: the 1st, 4th and 7th training image of 10, that is 01, 05 and 08; bee has one, and two black squares
    assert {tuple(flat(value)[0, 0].tolist()) for value in (1, 5, 8)} | {(0, 0, 0)} <= colours
    assert tuple(flat(11)[0, 0].tolist()) not in colours


def test_the_command(packed, tmp_path, capsys):
    assert main([str(packed), "--workers", "0", "--quiet"]) == 0
    output = capsys.readouterr()
    assert "p.pack: 11 train, 2 val images; good; contact sheet: " in output.out and output.err == ""
    assert (tmp_path / "p.pack.png").read_bytes().startswith(b"\x89PNG")
    flip(packed / "train-00000.h5", 700)
    assert main([str(packed), "--sheet", str(tmp_path / "other.png"), "--workers", "0", "--quiet"]) == 1
    output = capsys.readouterr()
    assert output.err == "check: train-00000.h5 has another SHA-256 than when it was made: bytes changed\n"
    assert "1 problems: pack the source again" in output.out and (tmp_path / "other.png").exists()
    for arguments, message in ([str(tmp_path / "nowhere.pack")], "does not exist"), \
            ([str(packed), "--sheet", str(tmp_path / "no" / "s.png"), "--quiet"], "there is no folder"), \
            ([str(packed), "--workers", "-1"], "--workers is -1"):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("check: ") and error.count("\n") == 1 and message in error


def test_half_a_manifest(packed, capsys):
    text = (packed / "manifest.json").read_text()
    (packed / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(json.JSONDecodeError):
        json.loads((packed / "manifest.json").read_text())
    assert main([str(packed), "--quiet"]) == 1 and "manifest.json is damaged" in capsys.readouterr().err
