"""Packing from end to end: what is in the pack, what is skipped, and what an error leaves behind."""

import io
import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tinyconv.data.dataset import Pack
from tinyconv.data.decode import decode
from tinyconv.data.errors import PackError
from tinyconv.data.pack import main, pack
from tinyconv.safefile import PatientFile

from .samples import WNIDS, WORDS, flat, jpeg, png


def test_a_small_set_of_one_size_is_stored_raw(class_folder, tmp_path):
    report = pack(class_folder, tmp_path / "out.h5", progress=False)
    assert report.images == {"train": 11, "val": 2} and report.skipped == []
    with Pack(report.path) as made, h5py.File(report.path) as file:
        assert file["train/images"].shape == (11, 12, 16, 3) and not made.grey
        np.testing.assert_array_equal(made.split("train").image(10), flat(1))  # bee/01
        np.testing.assert_array_equal(made.split("val").image(0), flat(3))  # ant/03
        assert made.split("train").name(10) == "out.h5/train: bee/01.png"
        train = np.array([1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 1])
        np.testing.assert_allclose(made.mean, [train.mean(), 2 * train.mean(), 0])
        np.testing.assert_allclose(made.std, [train.std(), 2 * train.std(), 0])
        np.testing.assert_allclose(made.eigenvalues, [5 * train.var() / 255**2, 0, 0], atol=1e-15)
        np.testing.assert_allclose(made.eigenvectors[:, 0], np.array([1, 2, 0]) / 5**0.5, atol=1e-12)


def test_grey_images_are_stored_with_one_channel(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "in" / "a" / f"{i}.png").write_bytes(png(np.full((5, 4), i, np.uint8)))
    with Pack(pack(tmp_path / "in", tmp_path / "out.h5", progress=False).path) as made:
        assert made.grey
        train = made.split("train")
        for index in range(2):
            value = int(train.name(index).removesuffix(".png")[-1])
            np.testing.assert_array_equal(train.image(index), np.full((5, 4, 3), value))


def test_images_of_several_sizes_keep_their_bytes(class_folder, tmp_path):
    photo = jpeg(flat(90, (30, 20)))
    (class_folder / "ant" / "00.jpeg").write_bytes(photo)
    made = Pack(pack(class_folder, tmp_path / "out.h5", progress=False).path)
    with h5py.File(tmp_path / "out.h5") as file:
        offsets = file["train/offsets"][...]
        assert file["train/encoded"][: offsets[1]].tobytes() == photo
        assert file["train/encoded"][offsets[1] : offsets[2]].tobytes() == png(flat(1))
    np.testing.assert_array_equal(made.split("train").image(0), decode(photo))
    np.testing.assert_array_equal(made.split("train").image(1), flat(1))


def test_resize_reduces_the_short_side(class_folder, tmp_path):
    made = Pack(pack(class_folder, tmp_path / "out.h5", resize=6, storage="encoded", progress=False).path)
    image = made.split("train").image(9)
    assert image.shape == (6, 8, 3)
    np.testing.assert_allclose(image.astype(int), flat(11, (6, 8)), atol=3)  # JPEG's rounding
    assert "short side reduced to 6, JPEG quality 90" in made.provenance


def test_broken_images_are_skipped_and_counted(class_folder, tmp_path, capsys):
    (class_folder / "ant" / "00.jpeg").write_bytes(jpeg(flat(9))[:200])
    (class_folder / "bee" / "Thumbs.db").write_bytes(b"not a photo")
    (class_folder / "bee" / "empty.png").write_bytes(b"")
    assert main([str(class_folder), str(tmp_path / "out.h5")]) == 0
    output = capsys.readouterr()
    assert "11 train, 2 val images, 3 skipped" in output.out
    assert "skipped bee/empty.png: the file is empty" in output.err
    with Pack(tmp_path / "out.h5") as made:
        reasons = dict(made.skipped)
        assert list(reasons) == ["ant/00.jpeg", "bee/Thumbs.db", "bee/empty.png"]
        assert reasons["bee/empty.png"] == "the file is empty" and "damaged" in reasons["ant/00.jpeg"]


def test_ilsvrc(make_ilsvrc, tmp_path):
    pack(make_ilsvrc(extra={"broken.JPEG": b"x"}), tmp_path / "out.h5", progress=False)
    with Pack(tmp_path / "out.h5") as made:
        assert made.wnids == WNIDS and made.classes == WORDS and "ImageNet terms" in made.licence
        assert made.split("train").labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert [file for file, _ in made.skipped] == ["broken.JPEG"]
        val = made.split("val")
        assert val.name(0) == "out.h5/val: ILSVRC2012_val_00000004.JPEG"
        assert val.labels.tolist() == [0, 1, 0, 2]
        np.testing.assert_allclose(val.image(0)[..., 0], np.full((12, 16), 104), atol=3)  # JPEG's rounding


def test_same_source_same_bytes(class_folder, tmp_path):
    for storage in ("raw", "encoded"):
        for name in ("one.h5", "two.h5"):
            pack(class_folder, tmp_path / name, storage=storage, progress=False)
        assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_raw_needs_one_size(class_folder, tmp_path):
    (class_folder / "ant" / "12.png").write_bytes(png(flat(1, (7, 7))))
    with pytest.raises(PackError, match=r"ant/12.png is \(7, 7, 3\), but the images before it \(12, 16, 3\)"):
        pack(class_folder, tmp_path / "out.h5", storage="raw", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["insects"]


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "in" / "ant").mkdir(parents=True)
    (tmp_path / "in" / "ant" / "1.png").write_bytes(b"x")
    with pytest.raises(PackError, match="no readable training image; the first of 1 problems: .*ant/1.png"):
        pack(tmp_path / "in", tmp_path / "out.h5", progress=False)
    assert not (tmp_path / "out.h5").exists()


def test_the_source_is_never_written_to(class_folder):
    with pytest.raises(PackError, match="lies inside the source"):
        pack(class_folder, class_folder / "out.h5", progress=False)


@pytest.mark.parametrize("out, message", [("nowhere/out.h5", "there is no folder .*nowhere; make it first"),
                                          ("insects/..", "it is a folder|inside")])
def test_places_that_will_not_do(class_folder, tmp_path, out, message):
    with pytest.raises(PackError, match=message):
        pack(class_folder, tmp_path / out, progress=False)


@pytest.mark.parametrize("options, message", [
    ({"resize": 0}, "resize is 0"), ({"quality": 96}, "quality is 96"), ({"storage": "zip"}, "is 'zip'")])
def test_options_out_of_range(class_folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        pack(class_folder, tmp_path / "out.h5", progress=False, **options)


def test_the_command_says_one_line_and_fails(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out.h5")]) == 1
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and "nowhere does not exist" in output.err


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from tinyconv.data.pack import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files here")
@pytest.mark.parametrize("storage", ["raw", "encoded"])
def test_a_full_disk_leaves_the_old_pack(tmp_path, storage):
    """A limit on the size of files stands for a full disk: write() fails the same way, inside HDF5, too."""
    random = np.random.default_rng(0)
    (tmp_path / "in" / "ant").mkdir(parents=True)
    for i in range(20):
        noise = random.integers(0, 256, (64, 64, 3), np.uint8)
        (tmp_path / "in" / "ant" / f"{i}.png").write_bytes(png(noise))
    good = tmp_path / "out" / "out.h5"
    good.parent.mkdir()
    good.write_bytes(b"the pack of yesterday")
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "in", good, "--quiet", "--storage", storage]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 1, run.stderr  # and not -11: HDF5 must not crash
    assert run.stderr.count("\n") == 1 and "File too large; what was there before is untouched; free" in run.stderr
    assert good.read_bytes() == b"the pack of yesterday"
    assert list(good.parent.iterdir()) == [good]


def test_no_space_left_at_any_write(class_folder, tmp_path, monkeypatch):
    good = tmp_path / "out" / "out.h5"
    good.parent.mkdir()
    good.write_bytes(b"the pack of yesterday")
    for allowed in range(0, 8, 2):
        left = iter(range(allowed))

        def write(self, data, left=left, true_write=PatientFile.write):
            if self.error is None and next(left, None) is None:
                self.error = OSError(28, "No space left on device")
            return true_write(self, data)

        with monkeypatch.context() as patch, pytest.raises(PackError, match="out.h5: No space left on dev"):
            patch.setattr(PatientFile, "write", write)
            pack(class_folder, good, progress=False)
        assert list(good.parent.iterdir()) == [good] and good.read_bytes() == b"the pack of yesterday"


def test_an_interruption_leaves_the_old_pack(class_folder, tmp_path, monkeypatch, capsys):
    """Ctrl-C while HDF5 writes, or at any other time: HDF5 must not see it."""
    good = tmp_path / "out" / "out.h5"
    good.parent.mkdir()
    good.write_bytes(b"the pack of yesterday")

    class InterruptedFile(io.FileIO):
        def write(self, data):
            raise KeyboardInterrupt

    def open_interrupted(file, path, true_init=PatientFile.__init__):
        true_init(file, path)
        file._file.close()
        file._file = InterruptedFile(path, "r+b")

    monkeypatch.setattr(PatientFile, "__init__", open_interrupted)
    assert main([str(class_folder), str(good), "--quiet"]) == 130
    assert capsys.readouterr().err == "pack: interrupted; nothing was written\n"
    assert list(good.parent.iterdir()) == [good] and good.read_bytes() == b"the pack of yesterday"
