"""The official ILSVRC2012 files: labels by wnid, nested tars, and damaged downloads."""

import tarfile

import pytest

from tinyconv.data.errors import PackError
from tinyconv.data.photos import Photo, Skipped, photos
from tinyconv.data.sources import open_source

from .samples import WNIDS, WORDS, add, flat, jpeg

FILES = ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"]


def test_labels_follow_the_wnids_not_the_ids(make_ilsvrc):
    source = open_source(make_ilsvrc())
    assert source.wnids == WNIDS and source.classes == WORDS  # the inner synset n00001740 is no class
    assert source.total == 16
    items = list(photos(source))
    train = [(item.label, item.file) for item in items if item.split == "train"]
    assert train == [(label, f"{wnid}_{i}.JPEG") for label, wnid in enumerate(WNIDS) for i in range(4)]
    assert items[5].data == jpeg(flat(21))
    val = {item.file: item.label for item in items if item.split == "val"}
    assert val == {f"ILSVRC2012_val_{i:08d}.JPEG": label for i, label in enumerate([2, 0, 1, 0], 1)}


def test_strange_members_are_skipped(make_ilsvrc):
    folder = make_ilsvrc(extra={"../../etc/passwd": b"x", "/root/x.JPEG": b"x"})
    link = tarfile.TarInfo("link.JPEG")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "a") as tar:
        tar.addfile(link)
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "a") as tar:
        add(tar, "n99999999.tar", b"")
    items = list(photos(open_source(folder)))
    assert [item for item in items if isinstance(item, Skipped)] == [
        Skipped("../../etc/passwd", "its path leads out of the archive"),
        Skipped("/root/x.JPEG", "its path leads out of the archive"),
        Skipped("n99999999.tar", "not the tar of a class in the development kit"),
        Skipped("link.JPEG", "not a regular file")]
    assert sum(isinstance(item, Photo) for item in items) == 16


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(make_ilsvrc, name):
    folder = make_ilsvrc()
    (folder / name).unlink()
    with pytest.raises(PackError, match=f"lacks {name}"):
        open_source(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5])
def test_a_truncated_file_is_an_error(make_ilsvrc, name, part):
    path = make_ilsvrc() / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(PackError, match=f"{name}.*(truncated|incomplete|lacks|has \\d images)"):
        list(photos(open_source(path.parent)))


def test_a_train_tar_that_ends_between_classes_is_incomplete(make_ilsvrc):
    path = make_ilsvrc() / "ILSVRC2012_img_train.tar"
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:last])
    with pytest.raises(PackError, match="lacks 1 classes, n03445777.tar for one"):
        list(photos(open_source(path.parent)))


def test_the_number_of_validation_images_is_checked(make_ilsvrc):
    with pytest.raises(PackError, match="has 3 images, but the ground truth .* labels images 1 to 4"):
        open_source(make_ilsvrc(val=3))


@pytest.mark.parametrize("bad, message", [("nan", "line 2 of .* is 'nan', not an integer"),
                                          (4, "line 2 of .* is 4, the ILSVRC2012_ID of no leaf"),
                                          (0, "line 2 of .* is 0, "), (1001, "line 2 of .* is 1001, ")])
def test_a_bad_label_is_named(make_ilsvrc, bad, message):
    with pytest.raises(PackError, match=message):
        open_source(make_ilsvrc(truth=[1, bad, 2, 3]))


def test_the_miniature_of_imagenet(ilsvrc_tiny):
    source = open_source(ilsvrc_tiny)
    assert len(source.classes) == 50 and source.total == 27_500
    assert source.wnids == sorted(source.wnids) and source.wnids[0] == "n01629819"
    assert source.classes[0] == "European fire salamander, Salamandra salamandra"
    first = next(photos(source))
    assert (first.split, first.label, first.file) == ("train", 0, "n01629819_0.JPEG")
