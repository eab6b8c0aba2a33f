"""The sharded pack: the same bytes whatever happens while it is made, and reading it."""

import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tinyconv.data import building, crew, sharded
from tinyconv.data.check import check
from tinyconv.data.dataset import Pack
from tinyconv.data.decode import decode
from tinyconv.data.errors import PackError
from tinyconv.data.pack import main, pack
from tinyconv.safefile import only_user_of

from .samples import flat, jpeg, png, tar_of

TRAIN = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 1]  # ant/03 and bee/02 are held out


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def noise_folder(tmp_path):
    """300 photos of noise, of 40 x 40 to 79 x 40 pixels, in three classes."""
    draw = np.random.default_rng(0)
    for i in range(300):
        path = tmp_path / "noise" / f"class {i % 3}" / f"{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(draw.integers(0, 256, (40, 40 + i % 40, 3), np.uint8)))
    return tmp_path / "noise"


def test_shards_hold_what_they_should(class_folder, tmp_path):
    report = pack(class_folder, tmp_path / "out.pack", shard_images=4, workers=0, progress=False)
    assert report.images == {"train": 11, "val": 2} and report.skipped == []
    assert sorted(bytes_of(report.path)) == ["index.h5", "manifest.json", "mean-image.npy", "train-00000.h5",
                                             "train-00001.h5", "train-00002.h5", "val-00000.h5"]
    assert sorted(os.listdir(tmp_path)) == ["insects", "out.pack"]  # nothing else is left behind
    with Pack(report.path) as made, Pack(pack(class_folder, tmp_path / "out.h5", progress=False).path) as single:
        for name in ("mean", "std", "eigenvalues", "eigenvectors"):
            np.testing.assert_array_equal(getattr(made, name), getattr(single, name))
        for name in ("classes", "wnids", "splits", "skipped", "provenance", "licence", "fingerprint", "grey"):
            assert getattr(made, name) == getattr(single, name), name
        np.testing.assert_allclose(made.mean_image, np.mean([flat(value) for value in TRAIN], axis=0), rtol=1e-15)
        assert single.mean_image is None
        train, val = made.split("train"), made.split("val")
        assert train.labels.tolist() == [0] * 10 + [1] and val.labels.tolist() == [0, 1]
        for i, value in enumerate(TRAIN):
            np.testing.assert_array_equal(train.image(i), flat(value))
            assert train.encoded(i) == png(flat(value))
        assert train.name(10) == "out.pack/train: bee/01.png" and val.name(0) == "out.pack/val: ant/03.png"
        for index in (-1, 11):
            for method in (train.image, train.encoded):
                with pytest.raises(IndexError, match="images 0..10"):
                    method(index)
    with h5py.File(report.path / "train-00002.h5") as file:
        assert file["labels"][...].tolist() == [0, 0, 1] and file.attrs["split"] == "train"


@pytest.mark.parametrize("options, message", [
    ({"shard_images": 0}, "shard_images is 0"), ({"shard_mb": 0}, "shard_mb is 0"), ({"workers": -1}, "workers is -1"),
    ({"crop": 0}, "crop is 0"), ({"crop": 5, "resize": 5}, "resize is 5 and crop 5; pass one"),
    ({"crop": 5, "storage": "encoded"}, "crops .crop=5. are stored as raw pixels")])
def test_options_out_of_range(class_folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        pack(class_folder, tmp_path / "out.pack", progress=False, **options)
    assert os.listdir(tmp_path) == ["insects"]


@pytest.mark.parametrize("name", ["shard_images", "shard_mb", "workers"])
def test_one_file_has_no_shards(class_folder, tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is 2, but only a folder of shards has it; call the pack NAME.pack"):
        pack(class_folder, tmp_path / "out.h5", progress=False, **{name: 2})


def test_shards_of_a_chosen_size(noise_folder, tmp_path):
    pack(noise_folder, tmp_path / "out.pack", shard_mb=0.1, workers=0, progress=False)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out.pack").glob("train-*.h5"))]
    assert all(80_000 < size < 120_000 for size in sizes[:-1])
    pack(noise_folder, tmp_path / "crops.pack", crop=8, shard_mb=0.0192, workers=0, progress=False)  # 100 of 192 B
    with Pack(tmp_path / "crops.pack") as made:
        assert [record.images for record in made.contents.shards["train"]] == [100, 100, 70]


def test_crops_are_raw_and_have_a_mean_image(noise_folder, tmp_path):
    for name in ("out.pack", "out.h5"):
        pack(noise_folder, tmp_path / name, crop=20, progress=False, **({"workers": 0} if name == "out.pack" else {}))
    with Pack(tmp_path / "out.pack") as made, Pack(tmp_path / "out.h5") as single:
        train = made.split("train")
        images = [train.image(i) for i in range(len(train))]
        assert train.encoded(0) is None and single.split("train").encoded(0) is None and len(images) == 270
        for i in (0, 77, 269):
            assert images[i].shape == (20, 20, 3)
            np.testing.assert_array_equal(images[i], single.split("train").image(i))
        np.testing.assert_array_equal(made.mean_image, np.mean(images, axis=0, dtype=np.float64))
        np.testing.assert_allclose(made.mean_image.mean(axis=(0, 1)), made.mean, rtol=1e-13)
        np.testing.assert_array_equal(made.mean, single.mean)
        assert "central squares of 20 pixels" in made.provenance
    assert check(tmp_path / "out.pack", workers=0, progress=False).problems == []
    assert check(tmp_path / "out.h5", workers=0, progress=False).problems == []


def test_resize_is_that_of_one_file(noise_folder, tmp_path):
    pack(noise_folder, tmp_path / "out.pack", resize=16, quality=50, workers=0, progress=False)
    pack(noise_folder, tmp_path / "out.h5", resize=16, quality=50, storage="encoded", progress=False)
    with Pack(tmp_path / "out.pack") as made, Pack(tmp_path / "out.h5") as single:
        one, other = made.split("train"), single.split("train")
        assert [one.encoded(i) for i in range(270)] == [other.encoded(i) for i in range(270)]
        assert one.image(269).shape[:2] == (16, 24) and made.fingerprint == single.fingerprint


def test_raw_without_crop_needs_one_size(class_folder, tmp_path):
    (class_folder / "bee" / "01.png").write_bytes(png(flat(1, (7, 7))))
    for size in (4, 10, 100):  # the odd one in a shard of its own, first in a shard, among others
        with pytest.raises(PackError, match=r"\(7, 7, 3\).* \(12, 16, 3\).*encoded, or as crops of one size"):
            pack(class_folder, tmp_path / "out.pack", storage="raw", shard_images=size, workers=0, progress=False)
    assert not (tmp_path / "out.pack").exists()


def test_grey_is_noticed(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    for i in range(9):
        (tmp_path / "in" / "a" / f"{i}.png").write_bytes(png(np.full((5, 4), i, np.uint8)))
    with Pack(pack(tmp_path / "in", tmp_path / "out.pack", workers=0, progress=False).path) as made:
        assert made.grey and made.split("train").image(0).shape == (5, 4, 3)
    (tmp_path / "in" / "a" / "x.png").write_bytes(png(flat(3, (5, 4))))
    with Pack(pack(tmp_path / "in", tmp_path / "out.pack", workers=0, progress=False).path) as made:
        assert not made.grey


def test_workers_and_order_do_not_matter(noise_folder, tmp_path):
    expected = None
    for workers in (0, 1, 2, 4):
        pack(noise_folder, tmp_path / "out.pack", shard_images=50, workers=workers, progress=False)
        expected = expected or bytes_of(tmp_path / "out.pack")
        assert bytes_of(tmp_path / "out.pack") == expected and len(expected) == 9
        for path in (tmp_path / "out.pack").iterdir():
            path.unlink()
        (tmp_path / "out.pack").rmdir()


def processes_with(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if word.encode() in environment and alive:
            found.append(int(entry.name))
    return found


def run_and_kill(command: list[str], now: Callable[[], bool], mark: Path, how: int = signal.SIGKILL) -> bool:
    """Start the command and kill it once now() says so. Whether it came to that. Its workers must end by themselves."""
    run = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MARK": str(mark)},
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    killed = False
    while run.poll() is None and not killed:
        time.sleep(0.01)
        if killed := now():
            run.send_signal(how)
    error = run.communicate(timeout=60)[1].decode()
    assert run.returncode in ((0, -how) if how == signal.SIGKILL else (0, 130)), error
    deadline = time.monotonic() + 10
    while processes_with(f"MARK={mark}"):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)
    return killed


def records_in(folder: Path) -> list[Path]:
    return sorted((folder / ".out.pack.part").glob("progress/*.json"))


def pack_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tinyconv.data.pack", *map(str, arguments), "--quiet"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_killed_and_resumed(noise_folder, tmp_path):
    """Also with a shard that was damaged meanwhile, and half a record: those are made again."""
    pack(noise_folder, tmp_path / "good.pack", shard_images=3, workers=0, progress=False)
    out = tmp_path / "out.pack"
    command = pack_command(noise_folder, out, "--shard-images", 3, "--workers", 2)
    for goal in (5, 20, 35):
        assert run_and_kill(command, lambda goal=goal: len(records_in(tmp_path)) >= goal, tmp_path)
        damaged = tmp_path / ".out.pack.part" / "pack" / f"{records_in(tmp_path)[0].stem}.h5"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        records_in(tmp_path)[1].write_text("{")
    assert not out.exists()
    pack(noise_folder, out, shard_images=3, progress=False)
    assert bytes_of(out) == bytes_of(tmp_path / "good.pack") and not (tmp_path / ".out.pack.part").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_no_process_and_keeps_shards(noise_folder, tmp_path):
    assert run_and_kill(pack_command(noise_folder, tmp_path / "out.pack", "--shard-images", 1, "--workers", 2),
                        lambda: len(records_in(tmp_path)) > 2, tmp_path, signal.SIGINT)
    assert not (tmp_path / "out.pack").exists() and len(records_in(tmp_path)) > 2
    with pytest.raises(PackError, match="out.pack is not finished; run the command that packs it once more"):
        Pack(tmp_path / "out.pack")


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--shard-images", "400"], ["--crop", "48", "--shard-mb", "2"]])
def test_the_miniature_killed_ten_times(ilsvrc_tiny, tmp_path, options):
    """At random moments: before the first shard, in the middle of one, while finished ones are verified ..."""
    command = pack_command(ilsvrc_tiny, tmp_path / "good.pack", *options, "--workers", 2)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command[4] = str(tmp_path / "out.pack")
    draw, kills = random.Random(1), 0
    while True:
        goal, delay = len(records_in(tmp_path)) + draw.randint(-1, 9), draw.uniform(0, 1)
        earliest = time.monotonic() + delay

        def now(goal=goal, delay=delay, earliest=earliest) -> bool:
            if time.monotonic() < earliest or len(records_in(tmp_path)) < goal:
                return False
            time.sleep(delay / 5)
            return True

        if not run_and_kill(command, now, tmp_path):
            break
        kills += 1
        print(f"kill {kills}: {len(records_in(tmp_path))} shards are finished")
        assert kills < 100
    assert kills >= 10 and bytes_of(tmp_path / "out.pack") == bytes_of(tmp_path / "good.pack")


def test_finished_shards_are_not_made_again(class_folder, tmp_path, monkeypatch):
    from tinyconv.data import shards

    made = []
    monkeypatch.setattr(shards, "prepare", lambda item, recipe, true=shards.prepare: made.append(item.file) or
                        true(item, recipe))
    write = building._write_index
    monkeypatch.setattr(building, "_write_index", lambda *_: exec("raise OSError(28, 'No space left on device')"))
    for _ in range(2):
        with pytest.raises(PackError, match="No space left on device"):
            pack(class_folder, tmp_path / "out.pack", shard_images=3, workers=0, progress=False)
    assert len(made) == 13
    monkeypatch.setattr(building, "_write_index", write)
    pack(class_folder, tmp_path / "out.pack", shard_images=3, workers=0, progress=False)
    assert len(made) == 13
    pack(class_folder, tmp_path / "out.pack", shard_images=3, workers=0, progress=False)  # it is there: only verified
    assert len(made) == 13
    pack(class_folder, tmp_path / "out.pack", shard_images=4, workers=0, progress=False)
    assert len(made) == 26


def test_other_options_start_over(class_folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(building, "_finish", lambda *_: exec("raise KeyboardInterrupt"))
        pack(class_folder, tmp_path / "out.pack", shard_images=1, workers=0, progress=False)
    assert len(list((tmp_path / ".out.pack.part" / "pack").iterdir())) == 13
    pack(class_folder, tmp_path / "out.pack", crop=4, workers=0, progress=False)
    pack(class_folder, tmp_path / "new.pack", crop=4, workers=0, progress=False)
    assert bytes_of(tmp_path / "out.pack") == bytes_of(tmp_path / "new.pack")


def test_the_old_pack_stays_until_the_new_one_is_whole(class_folder, tmp_path, monkeypatch):
    out = pack(class_folder, tmp_path / "out.pack", workers=0, progress=False).path
    old = bytes_of(out)
    rename = Path.rename

    def fail_at(number):
        def renamed(self, target, left=iter(range(9))):  # noqa: B008
            if next(left) == number:
                raise KeyboardInterrupt
            return rename(self, target)
        return renamed

    for number in (0, 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "rename", fail_at(number))
            pack(class_folder, out, crop=4, workers=0, progress=False)
        if number == 1:  # between the two renames: the next run, of whatever plan, puts it back first
            assert not out.exists()
            building._restore(out)
        assert bytes_of(out) == old
    pack(class_folder, out, crop=4, workers=0, progress=False)
    assert bytes_of(out) != old and sorted(os.listdir(tmp_path)) == ["insects", "out.pack"]


def test_places_that_will_not_do(class_folder, tmp_path):
    (tmp_path / "full.pack").mkdir()
    (tmp_path / "full.pack" / "diary.txt").write_text("dear diary")
    for out, message in [("full.pack", "exists and is no pack"), ("nowhere/out.pack", "there is no folder .*nowhere"),
                         ("insects/out.pack", "lies inside the source")]:
        with pytest.raises(PackError, match=message):
            pack(class_folder, tmp_path / out, workers=0, progress=False)
    assert (tmp_path / "full.pack" / "diary.txt").exists()


def test_two_at_once_are_refused(class_folder, tmp_path):
    (tmp_path / ".out.pack.part").mkdir()
    with only_user_of(tmp_path / ".out.pack.part"), pytest.raises(PackError, match="another run uses the folder"):
        pack(class_folder, tmp_path / "out.pack", workers=0, progress=False)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "in" / "ant").mkdir(parents=True)
    (tmp_path / "in" / "ant" / "1.png").write_bytes(b"x")
    with pytest.raises(PackError, match="no readable training image; the first of 1 problems: .*ant/1.png: not an im"):
        pack(tmp_path / "in", tmp_path / "out.pack", workers=0, progress=False)
    assert not (tmp_path / "out.pack").exists()


def test_the_command(class_folder, tmp_path, capsys):
    for i in range(25):
        (class_folder / "bee" / f"x{i}.png").write_bytes(b"")
    assert main([str(class_folder), str(tmp_path / "out.pack"), "--workers", "0", "--shard-images", "7"]) == 0
    output = capsys.readouterr()
    assert "out.pack: 10 train, 1 val images, 27 skipped" in output.out or "27 skipped" not in output.out
    assert "skipped bee/x0.png: the file is empty" in output.err and "images/s" in output.err
    assert "... and 5 more, all in" in output.err and "25 x the file is empty" in output.err
    skipped = json.loads((tmp_path / "out.pack" / "manifest.json").read_text())["skipped"]
    assert sorted(skipped) == sorted([f"bee/x{i}.png", "the file is empty"] for i in range(25))


def _sum_of_images(split, queue):
    queue.put((sum(int(split.image(i).sum()) for i in range(len(split))), split.encoded(0), split.name(1),
               [name for name in ("numba", "llvmlite") if name in sys.modules]))


@pytest.mark.parametrize("name, options", [("p.pack", {"workers": 0, "shard_images": 3}), ("p.h5", {"storage": "raw"}),
                                           ("p.h5", {"storage": "encoded"}), ("p.pack", {"workers": 0, "crop": 9})])
def test_a_split_travels_to_another_process(class_folder, tmp_path, monkeypatch, name, options):
    monkeypatch.chdir(tmp_path)  # a relative path, and the other process may be elsewhere
    with Pack(pack(class_folder, name, progress=False, **options).path) as made:
        split = made.split("train")
        assert len(pickle.dumps(split)) < 500
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        process = context.Process(target=_sum_of_images, args=(split, queue))
        process.start()
        total = sum(int(split.image(i).sum()) for i in range(11))
        assert queue.get() == (total, split.encoded(0), f"{name}/train: ant/02.png", [])
        process.join()


def test_few_shards_are_open_at_a_time(noise_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sharded, "_OPEN", 3)
    pack(noise_folder, tmp_path / "out.pack", shard_images=10, workers=0, progress=False)
    with Pack(tmp_path / "out.pack") as made:
        split = made.split("train")
        before = len(os.listdir("/proc/self/fd")) if Path("/proc").is_dir() else 0
        for i in np.random.default_rng(0).permutation(len(split)).tolist():
            assert split.image(i).shape[0] == 40
        assert not before or len(os.listdir("/proc/self/fd")) <= before + 3


def test_a_worker_that_dies_is_noticed(noise_folder, tmp_path):
    with pytest.raises(PackError, match="a worker process died .*; what was finished is kept"):
        list(crew.in_order(_die, range(4), 2, lambda count: None, tmp_path))


def test_workers_only_decode(tmp_path):
    """Compiled kernels and their threads have no place in them."""
    [modules] = crew.in_order(_modules, [0], 1, lambda count: None, tmp_path)
    assert "PIL.Image" in modules and not modules & {"numba", "llvmlite", "scipy", "matplotlib", "torch", "cupy"}


def _modules(item, count):
    import tinyconv.data.shards  # noqa: F401

    return set(sys.modules)


def _die(item, count):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_an_error_in_a_worker_is_that_error(class_folder, tmp_path):
    (class_folder / "bee" / "01.png").write_bytes(png(flat(1, (7, 7))))
    with pytest.raises(PackError, match=r"bee/01.png is \(7, 7, 3\)"):
        pack(class_folder, tmp_path / "out.pack", storage="raw", workers=2, progress=False)


def changed(change):
    def damage(path):
        found = json.loads((path / "manifest.json").read_text())
        change(found)
        (path / "manifest.json").write_text(json.dumps(found))
    return damage


@pytest.mark.parametrize("damage, message", [
    (lambda path: (path / "train-00001.h5").unlink(), "train-00001.h5: No such file"),
    (lambda path: (path / "train-00001.h5").write_bytes(b"x"), "train-00001.h5 has 1 bytes, not"),
    (lambda path: (path / "index.h5").write_bytes((path / "index.h5").read_bytes()[:-1] + b"x"),
     "index.h5 has another SHA-256"),
    (lambda path: (path / "manifest.json").write_text("{"), "manifest.json is damaged"),
    (changed(lambda found: found.update(version=3)), "layout 3, but this tinyconv reads 2"),
    (changed(lambda found: found.update(format="x")), "not the manifest of a pack"),
    (changed(lambda found: found.pop("licence")), "manifest.json is damaged: it has another SHA-256"),
    (changed(lambda found: found.update(classes=["ant"])), "manifest.json is damaged: it has another SHA-256")])
def test_damaged_packs_do_not_open(class_folder, tmp_path, damage, message):
    path = pack(class_folder, tmp_path / "p.pack", shard_images=4, workers=0, progress=False).path
    good = bytes_of(path)
    damage(path)
    with pytest.raises(PackError, match=message):
        Pack(path)
    pack(class_folder, path, shard_images=4, workers=0, progress=False)  # packing again makes it whole
    assert bytes_of(path) == good


def test_a_tar_file_gives_the_images_of_the_folder(class_folder, tmp_path):
    files = {f"insects/{path.relative_to(class_folder)}": path.read_bytes() for path in class_folder.rglob("*.png")}
    shuffled = dict(sorted(files.items(), key=lambda item: hashlib.md5(item[0].encode()).digest()))
    (tmp_path / "in.tar").write_bytes(tar_of(shuffled))
    for source, name in ((class_folder, "folder.pack"), (tmp_path / "in.tar", "tar.pack")):
        pack(source, tmp_path / name, shard_images=5, workers=0, progress=False)
    made, other = bytes_of(tmp_path / "folder.pack"), bytes_of(tmp_path / "tar.pack")
    assert made.pop("manifest.json") != other.pop("manifest.json") and made == other  # provenance differs


def test_a_tar_file_of_the_ilsvrc_files(make_ilsvrc, tmp_path):
    folder = make_ilsvrc(extra={"broken.JPEG": b"x"})
    (tmp_path / "all.tar").write_bytes(tar_of({f"ILSVRC/{path.name}": path.read_bytes() for path in folder.iterdir()}))
    for source, name in ((folder, "folder.pack"), (tmp_path / "all.tar", "tar.pack")):
        report = pack(source, tmp_path / name, shard_images=5, workers=0, progress=False)
        assert report.images == {"train": 12, "val": 4} and [item.file for item in report.skipped] == ["broken.JPEG"]
    made, other = bytes_of(tmp_path / "folder.pack"), bytes_of(tmp_path / "tar.pack")
    assert made.pop("manifest.json") != other.pop("manifest.json") and made == other


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files here")
def test_a_full_disk_keeps_the_old_pack_and_goes_on(noise_folder, tmp_path):
    """A limit on the size of files stands for a full disk: write() fails the same way, inside HDF5, too."""
    out = pack(noise_folder, tmp_path / "out.pack", resize=8, workers=0, progress=False).path
    old = bytes_of(out)
    program = ("import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
               "from tinyconv.data.pack import main\nsys.exit(main(sys.argv[1:]))")
    run = subprocess.run([sys.executable, "-c", program, noise_folder, out, "--quiet", "--workers", "0"],
                         capture_output=True, text=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "File too large" in run.stderr
    assert bytes_of(out) == old
    pack(noise_folder, out, workers=0, progress=False)
    assert bytes_of(out) != old


def test_a_photo_keeps_its_bytes(class_folder, tmp_path):
    photo = jpeg(flat(90, (30, 20)))
    (class_folder / "ant" / "00.jpeg").write_bytes(photo)
    with Pack(pack(class_folder, tmp_path / "out.pack", workers=0, progress=False).path) as made:
        assert made.split("train").encoded(0) == photo and made.mean_image is None
        np.testing.assert_array_equal(made.split("train").image(0), decode(photo))
        assert io.BytesIO(made.split("train").encoded(0)).read(2) == b"\xff\xd8"
