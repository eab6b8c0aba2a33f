"""What the internet puts into image folders and tar files, from packing to reading."""

import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tinyconv.data.check import check
from tinyconv.data.dataset import Pack
from tinyconv.data.errors import PackError
from tinyconv.data.pack import main, pack
from tinyconv.data.photos import Skipped
from tinyconv.data.sources import open_source

from .samples import add, flat, jpeg, png, tar_of

RAMP = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
SLOPE = np.add.outer(np.arange(20), np.arange(30) * 2).astype(np.uint8)
PHOTO = np.stack([2 * SLOPE, SLOPE + 80, 250 - 2 * SLOPE], axis=2)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of that size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def palette() -> bytes:
    image = Image.fromarray(RAMP % 2).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    return encoded(image, "PNG")


def turned() -> bytes:
    """A photo whose EXIF asks viewers to turn it by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(PHOTO), "JPEG", quality=95, subsampling=0, exif=exif)


def rgba() -> bytes:
    pixels = np.dstack([PHOTO, np.where(RAMP < 128, 255, 0).astype(np.uint8)])
    return encoded(Image.fromarray(pixels), "PNG")


CMYK = Image.new("CMYK", (30, 20), (0, 255, 255, 0))
BROKEN = {  # file, and what is said of it
    "bomb.png": (bomb(60_000, 60_000), "exceeds limit of|more than the limit of 80,000,000"),
    "large.png": (bomb(10_000, 9_000), "10000 x 9000 pixels are more than the limit of 80,000,000"),
    "truncated.JPEG": (jpeg(PHOTO)[:400], "damaged image: .*truncated"),
    "head only.JPEG": (jpeg(PHOTO)[:20], "damaged|not an image"),
    "zero bytes.JPEG": (b"", "the file is empty"),
    "zeros.JPEG": (bytes(5000), "not an image of a known kind"),
    "page.JPEG": (b"<html>404 Not Found</html>", "not an image of a known kind"),
}
GOOD = {  # file, its pixels, how near
    "grey.JPEG": (encoded(Image.fromarray(2 * SLOPE), "JPEG", quality=95), np.stack([2 * SLOPE] * 3, axis=2), 6),
    "grey.png": (encoded(Image.fromarray(RAMP), "PNG"), np.stack([RAMP] * 3, axis=2), 0),
    "cmyk.JPEG": (encoded(CMYK, "JPEG", quality=100), np.full((20, 30, 3), (255, 0, 0)), 3),
    "palette.png": (palette(), np.array([[10, 20, 30], [200, 100, 50]])[RAMP % 2], 0),
    "alpha.png": (rgba(), np.where((RAMP < 128)[..., None], PHOTO, 255), 0),  # over white
    "16 bits.png": (encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), "PNG"), np.stack([RAMP] * 3, axis=2), 0),
    "named wrong.JPEG": (png(PHOTO), PHOTO, 0),
    "turned.JPEG": (turned(), PHOTO, 6),  # EXIF is ignored
    "long.png": (png(np.broadcast_to(np.uint8([9, 99, 199]), (10, 30_000, 3))), np.full((10, 30_000, 3), (9, 99, 199)),
                 0),
    "bitmap.bmp": (encoded(Image.fromarray(PHOTO), "BMP"), PHOTO, 0),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """All of them, in one class, and a class of one good photo."""
    folder = tmp_path_factory.mktemp("hostile") / "zoo"
    for split in ("train", "val"):
        for name in ("animals", "rest"):
            (folder / split / name).mkdir(parents=True)
        (folder / split / "rest" / "photo.png").write_bytes(png(PHOTO))
    for name, (data, *_) in {**BROKEN, **GOOD}.items():
        (folder / "train" / "animals" / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("out", ["zoo.pack", "zoo.h5"])
@pytest.mark.parametrize("tarred", [False, True])
def test_hostile_images_from_packing_to_reading(zoo, tmp_path, out, tarred):
    source = zoo
    if tarred:
        source = tmp_path / "zoo.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(zoo, "zoo")
    report = pack(source, tmp_path / out, progress=False, **({"workers": 0} if out == "zoo.pack" else {}))
    assert report.images == {"train": len(GOOD) + 1, "val": 1}
    reasons = dict(Pack(report.path).skipped)
    assert set(reasons) == {f"train/animals/{name}" for name in BROKEN}
    for name, (_, reason) in BROKEN.items():
        assert any(part in reasons[f"train/animals/{name}"] for part in reason.replace(".*", "|").split("|")), name
    with Pack(report.path) as made:
        split = made.split("train")
        index_of = {split.name(i).rpartition("/")[2]: i for i in range(len(split))}
        for name, (data, pixels, tolerance) in GOOD.items():
            found = split.image(index_of[name])
            assert found.shape == pixels.shape and found.dtype == np.uint8, name
            assert np.abs(found.astype(int) - pixels).max() <= tolerance, name
            kept = split.encoded(index_of[name])
            assert kept == data if not name.endswith("bmp") else kept.startswith(b"\x89PNG"), name
    assert check(report.path, progress=False, workers=0).problems == []


def test_hostile_images_as_crops_and_reduced(zoo, tmp_path):
    """A crop of the long one is its middle, enlarged; as JPEG of short side 8 it is 24,000 pixels long."""
    pack(zoo, tmp_path / "crops.pack", crop=16, workers=0, progress=False)
    pack(zoo, tmp_path / "small.pack", resize=8, workers=0, progress=False)
    with Pack(tmp_path / "crops.pack") as crops, Pack(tmp_path / "small.pack") as small:
        one, other = crops.split("train"), small.split("train")
        assert len(one) == len(other) == len(GOOD) + 1 and crops.mean_image.shape == (16, 16, 3)
        shapes = {other.name(i).rpartition("/")[2]: other.image(i).shape for i in range(len(other))}
        assert shapes.pop("long.png") == (8, 24_000, 3) and set(shapes.values()) == {(8, 12, 3)}
        long = next(i for i in range(len(one)) if "long" in one.name(i))
        np.testing.assert_array_equal(one.image(long), np.full((16, 16, 3), (9, 99, 199)))
        assert all(other.encoded(i).startswith(b"\xff\xd8") for i in range(len(other)))


def test_too_long_for_a_jpeg(class_folder, tmp_path):
    (class_folder / "bee" / "00.png").write_bytes(png(np.zeros((20, 100_000, 3), np.uint8)))
    report = pack(class_folder, tmp_path / "out.pack", resize=16, workers=0, progress=False)
    [item] = report.skipped
    assert item.file == "bee/00.png" and "80000 x 16 pixels cannot be stored as JPEG" in item.reason


def test_a_file_too_large_to_be_an_image(class_folder, tmp_path):
    with open(class_folder / "bee" / "01.png", "wb") as file:
        file.truncate(300 << 20)  # sparse: takes no space
    report = pack(class_folder, tmp_path / "out.pack", workers=0, progress=False)
    assert report.skipped == [Skipped("bee/01.png", "314,572,800 bytes are more than the limit of 268,435,456 for an "
                                                    "image file")]


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_a_hostile_tar_file(tmp_path):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "./ant/1.png", png(flat(1)))
        add(tar, "../ant/up.png", png(flat(2)))
        add(tar, "ant/../../up.png", png(flat(3)))
        add(tar, "/ant/root.png", png(flat(4)))
        for kind, name in ((tarfile.SYMTYPE, "symlink"), (tarfile.LNKTYPE, "hardlink"), (tarfile.CHRTYPE, "device"),
                           (tarfile.BLKTYPE, "disk"), (tarfile.FIFOTYPE, "pipe")):
            tar.addfile(special(f"ant/{name}.png", kind, "/etc/passwd"))
        tar.addfile(special("ant/", tarfile.DIRTYPE))
        add(tar, "bee/1.png", png(flat(5)))
        add(tar, "bee/2.png", png(flat(6)))
        add(tar, "bee/1.png", png(flat(7)))  # tar's way to replace a file
        add(tar, "bee/.hidden.png", b"")
    before = sorted(tmp_path.rglob("*"))
    report = pack(path, tmp_path / "out.pack", workers=0, progress=False)
    leads_out, not_regular = "its path leads out of the archive", "not a regular file"
    assert {item.file: item.reason for item in report.skipped} == {
        "../ant/up.png": leads_out, "ant/../../up.png": leads_out, "/ant/root.png": leads_out,
        **{f"ant/{name}.png": not_regular for name in ("symlink", "hardlink", "device", "disk", "pipe")},
        "bee/1.png": "the archive holds it again further on"}
    with Pack(report.path) as made:
        assert made.classes == ["ant", "bee"]
        found = sorted(int(made.split(name).image(i)[0, 0, 0])
                       for name in made.splits for i in range(len(made.split(name))))
        assert found == [1, 6, 7]
    assert sorted(tmp_path.rglob("*")) == sorted([*before, report.path, *report.path.iterdir()])


def test_a_sparse_member_is_refused(tmp_path):
    """Its bytes are not where a plain reader would look for them."""
    member = tarfile.TarInfo("ant/1.png")
    member.size = 512
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\0" % 0 + b"%011o\0" % 512  # one piece: offset, length
    header[483:495] = b"%011o\0" % 512  # real size
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    data = tar_of({"ant/2.png": png(flat(2)), "ant/3.png": png(flat(3))})
    (tmp_path / "in.tar").write_bytes(bytes(header) + bytes(512) + data)
    report = pack(tmp_path / "in.tar", tmp_path / "out.pack", workers=0, progress=False)
    assert report.skipped == [Skipped("ant/1.png", "not a regular file")]
    assert sum(report.images.values()) == 2


@pytest.mark.parametrize("content, message", [
    (b"", "is a file, but no tar file"), (b"hello" * 300, "is a file, but no tar file"),
    (tar_of({"a/1.png": png(flat(1))}, "w:gz"), "is compressed, .* decompress it first: gunzip"),
    (tar_of({"a/1.png": png(flat(1)), "a/2.png": bytes(9000)})[:4000], "cannot be read: it is truncated"),
    (tar_of({"1.png": png(flat(1))}), "has no class folders")])
def test_tar_files_that_will_not_do(tmp_path, content, message):
    (tmp_path / "in.tar").write_bytes(content)
    with pytest.raises(PackError, match=message):
        open_source(tmp_path / "in.tar")


def test_a_tar_file_that_shrinks_meanwhile(tmp_path):
    """The images that are gone are skipped, and said to be."""
    path = tmp_path / "in.tar"
    path.write_bytes(tar_of({f"ant/{i}.png": png(flat(i)) for i in range(1, 6)}))
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:2600])
    from tinyconv.data.photos import photos

    reasons = [item.reason for item in photos(source) if isinstance(item, Skipped)]
    assert reasons == ["cannot be read: the file ends before it"] * 3


def test_the_command_reports_them_in_one_line_each(zoo, tmp_path, capsys):
    assert main([str(zoo), str(tmp_path / "zoo.pack"), "--workers", "0"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("skipped ")]
    assert len(lines) == len(BROKEN) and any("zero bytes.JPEG: the file is empty" in line for line in lines)
