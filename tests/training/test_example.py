"""examples/alexnet_imagenet.py as its users run it: as a program, on real images, interrupted, and with bad input."""

import json
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tinyconv.data import open_data
from tinyconv.data.pack import pack
from tinyconv.training.checkpoint import read
from tinyconv.training.options import command_to_resume

from ..conftest import WHY_NO_CUDA
from ..stopping import stop_in_training
from .small import without_clock

EXAMPLE = Path(__file__).parents[2] / "examples" / "alexnet_imagenet.py"
# Three batches of eight real images in each of two epochs: seconds, most of them for 20 million parameters on disk.
QUICK = ["--epochs", "2", "--limit-batches", "3", "--batch", "8", "--crop", "63", "--resize", "66", "--seed", "5"]


def command(out, *arguments):
    return [sys.executable, str(EXAMPLE), "--out", str(out), *map(str, arguments)]


def run(out, *arguments):
    return subprocess.run(command(out, *arguments), capture_output=True, text=True, timeout=600)


def parameters(out):
    state = read(Path(out) / "checkpoint.h5")
    arrays = {**state["model"], **state["optimizer"]["velocity"]}
    return {name: array.tobytes() for name, array in arrays.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("example") / "run"
    done = run(out, *QUICK)
    assert done.returncode == 0, done.stderr
    return out, done


def test_it_says_what_one_wants_to_know(finished):
    out, done = finished
    assert "towers.0.lower.conv1" in done.stdout and "multiply-accumulates" in done.stdout
    assert "ln(10 classes) = 2.303: as it should be" in done.stderr
    assert "top-1" in done.stdout.splitlines()[-1] and "top-5" in done.stdout.splitlines()[-1]
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["train_images"] for line in lines] == [24, 24]
    assert lines[0]["train_loss"] == pytest.approx(np.log(10), abs=0.7)


def test_its_pictures_show_something(finished):
    out, _ = finished
    for name in ("curves.png", "filters.png"):
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name


def test_the_result_is_that_of_the_checkpoint(finished):
    out, done = finished
    again = run(out, *QUICK, "--test-only")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


def test_ten_crops(finished):
    out, _ = finished
    done = run(out, *QUICK, "--test-only", "--ten-crop", "--limit-batches", "2", "--batch", "20")
    assert done.returncode == 0, done.stderr
    assert "ten crops of 4 val images" in done.stdout


def test_a_finished_run_is_only_tested_again(finished):
    out, done = finished
    before = (out / "checkpoint.h5").read_bytes()
    again = run(out, *QUICK, "--resume")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert (out / "checkpoint.h5").read_bytes() == before


def test_a_run_is_not_overwritten_unasked(finished):
    out, _ = finished
    before = (out / "checkpoint.h5").read_bytes()
    refused = run(out, *QUICK)
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines() == [
        f"error: {out} already holds a run; go on with --resume, or name another folder with --out"]
    assert (out / "checkpoint.h5").read_bytes() == before


def test_kill_9_at_random_moments_changes_nothing(finished, tmp_path):
    """Three times; with a checkpoint after each batch, so that most kills hit one being written."""
    out, lucky = tmp_path / "killed", random.Random()
    seed = lucky.randrange(1 << 32)
    moments = random.Random(seed)
    arguments = [*QUICK, "--save-minutes", "0", "--resume"]
    for _ in range(3):
        process = subprocess.Popen(command(out, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        assert process.stderr is not None
        for line in process.stderr:  # kill it while it trains, not while it imports
            if "loss" in line:
                break
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.wait()
        process.stderr.close()
    done = run(out, *arguments)
    assert done.returncode == 0, done.stderr
    assert parameters(out) == parameters(finished[0]), f"seed of the moments: {seed}"
    assert [p for p in out.iterdir() if p.name.startswith(".")] == []  # what the kills left was overwritten


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A pack of 300 real images of three classes, as PNG files: those are what worker processes are for."""
    folder = tmp_path_factory.mktemp("photos")
    source = open_data(None, folder)
    split = source.split("train")
    for label in range(3):
        (folder / "in" / f"class {label}").mkdir(parents=True)
        for i in np.flatnonzero(split.labels == label)[:100]:
            Image.fromarray(split.image(int(i))).save(folder / "in" / f"class {label}" / f"{i}.png")
    pack(folder / "in", folder / "photos.h5", storage="encoded", progress=False)
    return folder / "photos.h5"


def logged(out, name):
    return without_clock([json.loads(line) for line in (Path(out) / name).read_text().splitlines()])


def still_running(out):
    """Processes whose command line names the folder of the run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(out) in path.read_bytes().decode(errors="replace"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_twenty_kills_in_the_middle_of_epochs_with_workers(photos, tmp_path):
    """The same bytes in every checkpoint that is kept, and the same lines in both logs, as an undisturbed run.

    A checkpoint every 0.6 seconds and after each epoch; a line of the log every third step, so that some kills lose
    steps that are logged already.  The run is long enough for twenty attempts of a second or two."""
    seed = random.Random().randrange(1 << 32)
    moments = random.Random(seed)
    arguments = ["--data", photos, "--epochs", "6", "--batch", "8", "--crop", "63", "--resize", "66", "--seed", "5",
                 "--workers", "2", "--log-every", "3", "--print-freq", "1", "--save-minutes", "0.01", "--keep", "2",
                 "--resume", "auto"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, *arguments).returncode == 0
    memory = [json.loads(line)["workers_rss_mib"] for line in (whole / "steps.jsonl").read_text().splitlines()]
    assert memory[0] > 10, "there were no workers"
    reached = []
    for _ in range(20):
        process = subprocess.Popen(command(killed, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        assert process.stderr is not None
        for line in process.stderr:  # while it trains, not while it imports
            if line.startswith("epoch") and "images/s" in line:
                break
        time.sleep(moments.uniform(0.3, 1.5))
        assert process.poll() is None, "too quick to be killed so often; make the run longer"
        process.kill()
        process.wait()
        process.stderr.close()
        reached.append(read(killed / "checkpoint.h5")["position"]["batch"])
    told = f"seed of the moments: {seed}; batches of the epoch in the checkpoints: {reached}"
    assert sum(batch > 0 for batch in reached) >= 10, told
    done = run(killed, *arguments)
    assert done.returncode == 0, done.stderr
    assert parameters(killed) == parameters(whole), told
    for name in ("best.h5", "checkpoints/epoch-0005.h5", "checkpoints/epoch-0006.h5"):
        ours, right = (read(out / name) for out in (killed, whole))
        assert {n: a.tobytes() for n, a in ours["model"].items()} == {
            n: a.tobytes() for n, a in right["model"].items()}, told
    assert len(list((killed / "checkpoints").iterdir())) == 2
    for name in ("log.jsonl", "steps.jsonl"):
        assert logged(killed, name) == logged(whole, name), told
    assert [line["step"] for line in logged(killed, "steps.jsonl")] == list(range(3, logged(whole, "log.jsonl")[-1][
        "step"] + 1, 3))
    assert [p for p in killed.rglob(".*")] == [] and still_running(killed) == []
    print(told)


def test_ctrl_c_saves_and_says_how_to_go_on(finished, tmp_path):
    out = tmp_path / "stopped"
    status, output = stop_in_training(command(out, *QUICK), signal.SIGINT)
    assert status == 130
    assert "everything is saved" in output and output.splitlines()[-1].startswith("Go on with:")
    assert output.splitlines()[-1].endswith("--resume")
    assert run(out, *QUICK, "--resume").returncode == 0
    assert parameters(out) == parameters(finished[0])


@pytest.mark.parametrize("arguments, message", [
    (["--data", "nowhere"], "nowhere"),
    (["--data", "{empty}"], "empty"),
    (["--data", "{text}"], "text.h5"),
    (["--resume", "nowhere.h5"], "no file nowhere.h5"),
    (["--test-only"], "no file"),
    (["--lr", "nan"], "--lr: must be greater than 0, not nan"),
    (["--batch", "many"], "--batch: must be a whole number of at least 1 and at most 2147483647, not 'many'"),
    (["--synthetic", "--data", "x"], "--data: not allowed with argument --synthetic"),
    (["--lr", "-1"], "--lr: must be greater than 0, not -1"),
    (["--momentum", "1"], "--momentum: must be at least 0 and less than 1, not 1"),
    (["--weight-decay", "-1"], "--weight-decay: must be at least 0, not -1"),
    (["--crop", "30", "--resize", "40"], "30 pixels is too small"),
    (["--crop", "80", "--resize", "70"], "--resize 70 is smaller than --crop 80"),
    (["--device", "tpu"], "no device 'tpu'"),
    (["--variant", "caffe", "--device", "cpu,cpu"], "has 1 tower, but devices names 2"),
    (["--batch", "0"], "--batch: must be a whole number of at least 1 and at most 2147483647, not '0'"),
    (["--schedule", "step", "--step-every", "0"], "--step-every: must be at least 0.01, not 0"),
    (["--label-smoothing", "2"], "--label-smoothing: must be at least 0 and at most 1, not 2"),
    (["--seed", "-1"], "--seed: must be a whole number of at least 0"),
    (["--least-area", "0.5"], "--least-area 0.5 is for --augmentation resized-crop"),
    (["--augmentation", "resized-crop", "--least-area", "0"], "--least-area: must be greater than 0 and at most 1"),
])
def test_bad_input_is_one_clear_line(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.h5").write_text("no pack")
    filled = [a.format(empty=tmp_path / "empty", text=tmp_path / "text.h5") for a in arguments]
    done = run(tmp_path / "out", *filled)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_full_disk_is_one_clear_line_and_the_old_checkpoint_stays(finished, tmp_path):
    """The limit on the size of files stands in for the end of the disk."""
    out = tmp_path / "full"
    assert run(out, *QUICK, "--epochs", "1").returncode == 0
    before = (out / "checkpoint.h5").read_bytes()
    limited = """
import resource, runpy, signal, sys
from tinyconv.training import Trainer
fit = Trainer.fit
def limited(*arguments):  # not before: anonymous memory, in which the loader has its images, counts as a file
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    fit(*arguments)
Trainer.fit = limited
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", limited, *command(out, *QUICK, "--resume")[1:]],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1] and "checkpoint.h5" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (out / "checkpoint.h5").read_bytes() == before
    assert sorted(p.name for p in out.iterdir() if p.name.startswith(".")) == []


def test_every_variant_device_and_schedule_runs(tmp_path):
    """One batch each; the options that decide what is trained, and how."""
    for number, options in enumerate((
            ["--variant", "caffe", "--schedule", "plateau", "--init", "xavier"],
            ["--variant", "torchvision", "--schedule", "step", "--warmup", "1", "--init", "variant"],
            ["--device", "cpu,cpu", "--schedule", "constant", "--synthetic", "--color-noise", "0.1"])):
        done = run(tmp_path / str(number), *QUICK, *options, "--epochs", "1", "--limit-batches", "1", "--batch", "2")
        assert done.returncode == 0, done.stderr
        assert "top-1" in done.stdout


def losses(out):
    """Of each step, where --log-every was 1."""
    return [json.loads(line)["loss"] for line in (out / "steps.jsonl").read_text().splitlines()]


def test_augmentation_is_chosen(tmp_path):
    """The same images in the same order: the first losses differ by how they are cut, and by nothing else."""
    seen = {}
    for name, options in (("paper", []), ("boxes", ["--augmentation", "resized-crop"]),
                          ("large", ["--augmentation", "resized-crop", "--least-area", "0.9"])):
        out = tmp_path / name
        done = run(out, *QUICK, *options, "--epochs", "1", "--limit-batches", "1", "--batch", "4", "--log-every", "1")
        assert done.returncode == 0, done.stderr
        seen[name] = losses(out)
    assert len({tuple(curve) for curve in seen.values()}) == 3
    done = run(tmp_path / "boxes", *QUICK, "--epochs", "2", "--limit-batches", "1", "--batch", "4", "--resume")
    assert done.returncode == 1 and "augmentation" in done.stderr.splitlines()[-1]


@pytest.mark.gpu
@pytest.mark.skipif(WHY_NO_CUDA is not None, reason=str(WHY_NO_CUDA))
def test_twenty_steps_on_a_gpu_have_the_losses_of_the_cpu(tmp_path):
    """Augmentation, dropout and all: both draw the same random numbers.  Sums in float32 are taken in other orders, and
    what that changes grows with each step; after twenty it is still below 1e-5.

    The seed is one whose steps amplify rounding three times; seed 5 does so three hundred times.  Then two pixels of a
    pooling window, or a pixel and 0, are soon closer than what separates the two sides, each takes another one, and the
    whole gradient of a filter differs: so it was with seed 5, between two algorithms on the CPU alone."""
    curves = {}
    for device in ("cpu", "cuda:0"):
        done = run(tmp_path / device, "--epochs", "2", "--limit-batches", "10", "--batch", "4", "--crop", "63",
                   "--resize", "66", "--seed", "8", "--device", device, "--log-every", "1")
        assert done.returncode == 0, done.stderr
        curves[device] = losses(tmp_path / device)
    assert len(curves["cpu"]) == 20 and max(curves["cpu"]) > 1.1 * min(curves["cpu"]), "a flat curve proves nothing"
    assert curves["cuda:0"] == pytest.approx(curves["cpu"], rel=1e-5)


def test_the_reference_device_trains_to_the_same_loss(tmp_path):
    losses = {}
    for device in ("cpu", "reference"):
        done = run(tmp_path / device, *QUICK, "--epochs", "1", "--limit-batches", "1", "--batch", "2",
                   "--device", device)
        assert done.returncode == 0, done.stderr
        losses[device] = json.loads((tmp_path / device / "log.jsonl").read_text())
    assert losses["cpu"]["train_loss"] == pytest.approx(losses["reference"]["train_loss"], rel=1e-5)  # float32 sums
    assert losses["cpu"]["val_loss"] == pytest.approx(losses["reference"]["val_loss"], rel=1e-4)


def test_a_run_is_not_overwritten_from_another_one(finished, tmp_path):
    out, _ = finished
    before = (out / "checkpoint.h5").read_bytes()
    other = tmp_path / "other.h5"
    other.write_bytes(before)
    refused = run(out, *QUICK, "--resume", other)
    assert refused.returncode == 1
    assert refused.stderr == f"error: {out} already holds a run; name another folder with --out to start from {other}\n"
    assert (out / "checkpoint.h5").read_bytes() == before


def test_a_run_may_start_from_another_one(finished, tmp_path):
    out, _ = finished
    done = run(tmp_path / "more", *QUICK, "--resume", out / "checkpoint.h5", "--epochs", "3", "--lr", "0.001")
    assert done.returncode == 0, done.stderr
    assert "changed since the checkpoint: epochs was 2, now 3" in done.stdout
    assert "changed since the checkpoint: lr was 0.01, now 0.001" in done.stdout
    assert len((tmp_path / "more" / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("options, name", [(["--init", "variant"], "init"), (["--crop", "64"], "crop")])
def test_testing_with_other_settings_is_refused(finished, options, name):
    """Another --init means pixels on another scale: the result would be nonsense."""
    out, _ = finished
    refused = run(out, *QUICK, "--test-only", *options)
    assert refused.returncode == 1
    assert f"is of a run with {name}" in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_the_command_to_go_on_can_be_pasted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", "my photos", "--resume", "other.h5", "--lr", "0.1"])
    assert shlex.split(command_to_resume())[1:] == ["train.py", "--data", "my photos", "--lr", "0.1", "--resume"]
    monkeypatch.setattr(sys, "argv", ["train.py", "--resume", "--lr", "0.1"])
    assert shlex.split(command_to_resume())[1:] == ["train.py", "--lr", "0.1", "--resume"]


@pytest.fixture
def clothes(tmp_path):
    """A folder of class folders: real images, besides a file that is none, a broken one and a class of one colour."""
    pack = open_data(None, tmp_path)
    split = pack.split("train")
    for label in (0, 1):
        folder = tmp_path / "my photos" / pack.classes[label].replace("/", " ")
        folder.mkdir(parents=True)
        for i in np.flatnonzero(split.labels == label)[:8]:
            Image.fromarray(split.image(int(i))).save(folder / f"{i}.png")
        (folder / "Thumbs.db").write_bytes(b"no image")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return tmp_path / "my photos"


def test_a_folder_of_photos_is_packed_once_beside_the_run(clothes, tmp_path):
    before = sorted(clothes.rglob("*"))
    arguments = ["--data", clothes, "--crop", "63", "--epochs", "1", "--batch", "4"]
    first = run(tmp_path / "run", *arguments)
    assert first.returncode == 0, first.stderr
    assert "2 classes" in first.stdout and "3 skipped" in first.stdout and "broken.jpg" in first.stdout
    second = run(tmp_path / "run", *arguments, "--test-only")
    assert "packed from" in second.stdout and first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]
    assert sorted(clothes.rglob("*")) == before


def test_a_damaged_image_in_a_pack_is_one_clear_line(clothes, tmp_path):
    pack(clothes, tmp_path / "photos.h5", storage="encoded", progress=False)
    with h5py.File(tmp_path / "photos.h5", "r+") as file:
        begin, end = (int(file["train/offsets"][i]) for i in (3, 4))
        file["train/encoded"][begin:end] = 0
    done = run(tmp_path / "run", "--data", tmp_path / "photos.h5", "--crop", "63", "--epochs", "1", "--batch", "4")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: image 3, ") and "Traceback" not in done.stderr


def test_images_of_one_colour(tmp_path):
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (20, 20), colour).save(tmp_path / "in" / name / f"{i}.png")
    done = run(tmp_path / "run", "--data", tmp_path / "in", "--crop", "63", "--epochs", "1", "--batch", "2")
    assert done.returncode == 0, done.stderr


def test_it_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 150


