"""Class folders: splits, classes, hold-out, and folders that are none."""

import os
import tracemalloc
from pathlib import Path

import pytest

from tinyconv.data.errors import PackError
from tinyconv.data.photos import Photo, Skipped, photos
from tinyconv.data.sources import fingerprint, open_source
from tinyconv.data.trees import TarTree

from .samples import flat, png, tar_of


def photos_of(folder):
    return list(photos(open_source(folder)))


def test_a_tenth_of_each_class_is_held_out(class_folder):
    source = open_source(class_folder)
    assert source.classes == ["ant", "bee"] and source.wnids == []
    assert "val is 10% of each class" in source.provenance
    items = list(photos(source))
    held_out = {item.file for item in items if item.split == "val"}
    assert len(items) == 13 and held_out == {"ant/03.png", "bee/02.png"}  # fixed by SHA-256 of the names
    assert [item.label for item in items] == [0] * 11 + [1] * 2
    assert items[1].file == "ant/02.png" and items[1].data == png(flat(2))


def test_split_folders(tmp_path):
    for split in ("train", "validation", "test"):
        for name in ("n00000002", "n00000001"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "x.png").write_bytes(png(flat(1)))
    (tmp_path / "LICENSE").write_text("CC0")
    source = open_source(tmp_path)
    found = [(item.split, item.label, item.file) for item in photos(source)]
    assert found == [("train", 0, "train/n00000001/x.png"), ("train", 1, "train/n00000002/x.png"),
                     ("val", 0, "validation/n00000001/x.png"), ("val", 1, "validation/n00000002/x.png"),
                     ("test", 0, "test/n00000001/x.png"), ("test", 1, "test/n00000002/x.png")]
    assert source.wnids == source.classes == ["n00000001", "n00000002"]
    assert source.licence == "CC0" and "SHA" not in source.provenance


def test_unreadable_files_are_reported(class_folder):
    (class_folder / "ant" / "12.png").symlink_to("nowhere")
    os.mkfifo(class_folder / "ant" / "13.png")
    items = photos_of(class_folder)
    assert Skipped("ant/12.png", "a link to nothing") in items
    assert Skipped("ant/13.png", "not a regular file") in items
    assert sum(isinstance(item, Photo) for item in items) == 13


def test_a_class_without_training_images_is_an_error(tmp_path):
    (tmp_path / "train" / "ant").mkdir(parents=True)
    (tmp_path / "val" / "bee").mkdir(parents=True)
    with pytest.raises(PackError, match=r"val/bee is a class that .*train lacks"):
        open_source(tmp_path)


@pytest.mark.parametrize("folders, message", [
    ([], "no class folders"),
    (["ant", "bee"], "are empty; put images into"),
    (["val/ant"], "has val but no train folder"),
    (["train/ant", "val/ant", "validation/ant"], "are both the val split"),
])
def test_folders_that_will_not_do(tmp_path, folders, message):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(PackError, match=message):
        open_source(tmp_path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(PackError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PackError, match="is a file, but no tar file; pass a folder"):
        open_source(tmp_path / "file")


def test_an_unreadable_class_folder_is_an_error(class_folder, monkeypatch):
    def scandir(path, true_scandir=os.scandir):
        if os.fspath(path).endswith("bee"):  # as if by chmod 0, which does not stop root
            raise PermissionError(13, "Permission denied", path)
        return true_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PackError, match="cannot read .*bee: Permission denied"):
        open_source(class_folder)


def test_an_unreadable_image_is_reported(class_folder, monkeypatch):
    def read_bytes(path, true_read=Path.read_bytes):
        if path.name == "02.png":
            raise PermissionError(13, "Permission denied")
        return true_read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    reason = "cannot be read: Permission denied"
    skipped = [item for item in photos_of(class_folder) if isinstance(item, Skipped)]
    assert skipped == [Skipped("ant/02.png", reason), Skipped("bee/02.png", reason)]


def test_fingerprint_notices_a_change(class_folder):
    before = fingerprint(class_folder, open_source(class_folder))
    assert before == fingerprint(class_folder, open_source(class_folder))
    os.utime(class_folder / "bee" / "01.png", ns=(0, 1))
    assert before != fingerprint(class_folder, open_source(class_folder))


def test_a_tar_file_is_listed_in_little_memory(tmp_path):
    """A million photos: about 45 bytes and a name each. Python's own list of members would need a kilobyte."""
    names = [f"n{label:08d}/n{label:08d}_{i:05d}.JPEG" for i in range(400) for label in range(10)]
    (tmp_path / "in.tar").write_bytes(tar_of(dict.fromkeys(names, b"x")))
    TarTree(tmp_path / "in.tar")  # imports and caches are not counted
    tracemalloc.start()
    tree = TarTree(tmp_path / "in.tar")
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100 * len(names) and peak < 250_000 + 100 * len(names)
    assert [name for name, _ in tree.files("n00000007")] == sorted(name for name in names if name < "n00000008"
                                                                   and name > "n00000007")


def test_one_folder_around_all_is_taken_off(tmp_path):
    """tar c photos/ puts photos/ before every name; a class folder by itself stays a class."""
    wrapped = {"photos/ant/1.png": b"", "photos/bee/2.png": b"", "photos/LICENSE": b"CC0"}
    for files, classes in ((wrapped, ["ant", "bee"]), ({"./ant/1.png": b"", "./bee/2.png": b""}, ["ant", "bee"]),
                           ({"ant/1.png": b"", "ant/2.png": b""}, ["ant"]),
                           ({"x/train/ant/1.png": b"", "x/val/ant/2.png": b""}, ["ant"])):
        (tmp_path / "in.tar").write_bytes(tar_of(files))
        source = open_source(tmp_path / "in.tar")
        assert source.classes == classes and source.total == sum(name.endswith("png") for name in files)
        assert source.licence == ("CC0" if "photos/LICENSE" in files else "not stated by the source")
        assert list(source.inputs) == [tmp_path / "in.tar"]
