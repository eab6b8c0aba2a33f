"""What a run of days needs: checkpoints that are kept, a log that survives, one run for a folder, blame."""

import json
import mmap
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.data import EvalTransform, Loader, SyntheticData
from tinyconv.nn import Flatten, Linear, Module, ReLU, Sequential
from tinyconv.optim import SGD, Schedule
from tinyconv.safefile import only_user_of
from tinyconv.training import CheckpointError, Trainer, TrainingError, blame, record
from tinyconv.training.checkpoint import find, read
from tinyconv.training.keep import keep, kept
from tinyconv.training.meter import Meter
from tinyconv.training.ratios import update_ratios
from tinyconv.training.rss import resident
from tinyconv.training.steplog import StepLog, whole_lines

from .small import bits, trainer, without_clock


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """They take half a second an epoch, and are looked at elsewhere."""
    monkeypatch.setattr("tinyconv.training.trainer.curves", lambda *args: None)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# Which checkpoints are kept

def test_the_last_epochs_and_the_best_are_kept(tmp_path):
    run = trainer(tmp_path, keep_last=2)
    run.fit(5)
    assert [number for number, _ in kept(tmp_path)] == [5, 4]
    for number, path in kept(tmp_path):
        assert read(path)["position"]["epoch"] == number
    top1 = [line["val_top1"] for line in run.history]
    assert read(tmp_path / "best.h5")["position"]["epoch"] == top1.index(max(top1)) + 1
    assert (tmp_path / "checkpoints" / "epoch-0005.h5").samefile(tmp_path / "checkpoint.h5")  # no second write


def test_keeping_none_keeps_the_best(tmp_path):
    trainer(tmp_path, keep_last=0).fit(2)
    assert kept(tmp_path) == [] and (tmp_path / "best.h5").exists()


def test_keeping_again_changes_nothing_and_other_files_stay(tmp_path):
    (tmp_path / "checkpoint.h5").write_bytes(b"one")
    keep(tmp_path, 1, True, 1)
    (tmp_path / "checkpoints" / "epoch-mine.h5").write_bytes(b"mine")
    keep(tmp_path, 1, True, 1)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "best.h5", "checkpoint.h5", "checkpoints", "epoch-0001.h5", "epoch-mine.h5"]


def test_without_hard_links_checkpoints_are_copied(tmp_path, monkeypatch):
    def no_links(*args):
        raise OSError("no links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "checkpoint.h5").write_bytes(b"one")
    keep(tmp_path, 1, True, 1)
    (tmp_path / "checkpoint.h5").write_bytes(b"two")
    assert kept(tmp_path)[0][1].read_bytes() == (tmp_path / "best.h5").read_bytes() == b"one"


def test_a_kill_between_saving_and_keeping_is_made_good(tmp_path):
    run = trainer(tmp_path)
    run._keep = lambda: None  # as if killed just before
    run.fit(1)
    assert kept(tmp_path) == []
    again = trainer(tmp_path)
    again.resume()
    again.fit(1)
    assert [number for number, _ in kept(tmp_path)] == [1] and (tmp_path / "best.h5").exists()


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-500] + b"x" * 500),
                                    lambda path: path.unlink()])
def test_a_damaged_checkpoint_is_no_end(tmp_path, capsys, damage):
    """Going on automatically means from the newest whole one, and the result is that of an undisturbed run."""
    whole = trainer(tmp_path / "whole")
    whole.fit(4)
    trainer(tmp_path / "hurt").fit(2)
    newest = tmp_path / "hurt" / "checkpoint.h5"
    newest.write_bytes(newest.read_bytes())
    hurt = trainer(tmp_path / "hurt")
    hurt.resume()
    hurt.save()  # a file of its own
    damage(newest)
    assert find(tmp_path / "hurt", "auto") == newest
    with pytest.raises(CheckpointError, match="already holds a run"):
        find(tmp_path / "hurt", None)
    again = trainer(tmp_path / "hurt")
    again.resume()
    assert "going on from" in capsys.readouterr().out and again.epoch == 2
    again.fit(4)
    assert bits(again) == bits(whole)
    assert [number for number, _ in kept(tmp_path / "hurt")] == [4, 3, 2]


def test_named_explicitly_a_damaged_checkpoint_is_refused(tmp_path):
    run = trainer(tmp_path)
    run.fit(1)
    run.save()
    run.checkpoint_path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="no checkpoint of a training run"):
        trainer(tmp_path).resume(run.checkpoint_path)


def test_a_checkpoint_of_before_knows_fewer_settings_and_sums(tmp_path):
    run = trainer(tmp_path)
    run.fit(1)
    state = tc.load(run.checkpoint_path)
    state["position"] = {name: value for name, value in state["position"].items()
                         if not name.startswith("window_") and name != "waited"}
    tc.save(state, run.checkpoint_path)
    again = trainer(tmp_path, settings={"new in this version": 1})
    again.resume()
    again.fit(2)
    assert len(again.history) == 2


# The log

def test_each_line_has_the_means_of_its_steps(tmp_path):
    """Two steps a line, three steps an epoch: a line may span the end of an epoch."""
    run = trainer(tmp_path, log_every=2)
    step, losses = run._step, []

    def noted(*args):
        done = step(*args)
        losses.append(done[0])
        return done

    run._step = noted
    run.fit(2)
    found = lines(tmp_path / "steps.jsonl")
    assert [(line["step"], line["epoch"], line["batch"]) for line in found] == [(2, 1, 2), (4, 2, 1), (6, 2, 3)]
    np.testing.assert_allclose([line["loss"] for line in found], np.reshape(losses, (3, 2)).mean(axis=1), rtol=1e-12)
    for line in found:
        assert line["images"] == 16 and 0 <= line["top1"] <= line["top5"] <= 1
        assert 0 <= line["data_wait"] <= 1 and line["images_per_second"] > 0 and 20 < line["rss_mib"] < 1e5
        assert set(line["update_ratio"]) == {"conv", "fc"} and line["lr"] == 0.05
    assert [line["step"] for line in lines(tmp_path / "log.jsonl")] == [3, 6]


def test_the_log_goes_on_without_doubled_or_lost_lines(tmp_path):
    undisturbed = trainer(tmp_path / "whole", log_every=2)
    undisturbed.fit(4)
    run = trainer(tmp_path / "killed", log_every=2)
    run.fit(1)
    killed, count = run._count, 0

    def die(*args):
        nonlocal count
        killed(*args)
        count += 1
        if count == 2:
            run.save()
        if count == 5:
            raise KeyboardInterrupt  # nothing is saved: steps 6 to 8 are lost, but the line of step 8 is in the log

    run._count = die
    with pytest.raises(KeyboardInterrupt):
        run.fit(4)
    path = tmp_path / "killed" / "steps.jsonl"
    assert [line["step"] for line in lines(path)] == [2, 4, 6, 8]
    path.write_text(path.read_text() + '{"step": 9, "lo')
    again = trainer(tmp_path / "killed", log_every=2)
    again.resume()
    again.fit(4)
    assert bits(again) == bits(undisturbed)
    assert without_clock(lines(path)) == without_clock(lines(tmp_path / "whole" / "steps.jsonl"))


def test_damaged_lines_are_dropped(tmp_path):
    path = tmp_path / "steps.jsonl"
    path.write_bytes(b'{"step": 1}\n\xff\x00\x00\n[]\n{"loss": 1}\n{"step": "2"}\n{"step": 3}\n{"step": 3}\n'
                     b'{"step": 2}\n{"step": 4}\n{"step": 9}')
    with StepLog(path, 4) as log:
        log.append({"step": 5})
    assert [line["step"] for line in whole_lines(path)] == [1, 3, 4, 5]
    assert [line["step"] for line in lines(path)] == [1, 3, 4, 5]


def test_a_log_on_a_full_disk_is_a_clear_error(tmp_path):
    with StepLog(tmp_path / "steps.jsonl", 0) as log:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, log._file)
        os.close(full)
        with pytest.raises(OSError, match="cannot write .*steps.jsonl: No space left.*--resume"):
            log.append({"step": 1})


def test_what_is_logged_is_what_a_step_did(tmp_path):
    """|update| / |weights|, computed from the weights before and after."""
    run = trainer(tmp_path)
    before = run.model.state_dict()
    run.limit = 1
    images, labels = next(run.train.epoch(0))
    run._step(images, labels)
    after, ratios = run.model.state_dict(), update_ratios(run.model, run.optimizer)
    for layer in ("conv", "fc"):
        name = f"{layer}.weight"
        assert ratios[layer] == pytest.approx(
            np.linalg.norm(after[name] - before[name]) / np.linalg.norm(after[name]), rel=1e-4)
    fc = run.model.fc.weight
    fc.copy_(np.zeros(fc.shape))
    assert update_ratios(run.model, run.optimizer)["fc"] is None


def test_waiting_for_data_is_told(tmp_path):
    class Slow(Loader):
        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch, start):
                time.sleep(0.2)
                yield batch

    run = trainer(tmp_path)
    run.fit(1)  # warm
    run.train.__class__ = Slow
    run.fit(2)
    # How long a step takes is the machine's business, but three batches have slept for 0.6 seconds.
    assert run.history[1]["data_wait"] * run.history[1]["seconds"] > 0.59
    assert run.history[1]["seconds"] > 0.6
    assert all(0 < epoch["data_wait"] < 1 for epoch in run.history)


def test_a_meter_survives_a_checkpoint():
    meter = Meter()
    meter.add(0.5, np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([1, 1]), seconds=2.0, waited=0.5)
    again = Meter.from_state(meter.state("x_"), "x_", required=True)
    assert again.state() == meter.state() and again.wait_share == 0.25
    assert again.speed() == {"images_per_second": 1.0, "data_wait": 0.25}


def test_memory_is_measured_in_mib():
    before = resident()["rss_mib"]
    block = np.ones(64 << 20, np.uint8)
    assert 60 < resident()["rss_mib"] - before < 70 and block.all()
    assert resident()["workers_rss_mib"] == 0 and 5 < resident()["shared_mib"] < resident()["rss_mib"]
    mapped = mmap.mmap(-1, 64 << 20)  # as the loader's images are
    shared = resident()["shared_mib"]
    mapped.write(bytes(64 << 20))
    assert 60 < resident()["shared_mib"] - shared < 70
    assert resident([os.getpid()])["workers_rss_mib"] == pytest.approx(resident()["rss_mib"], rel=0.05)


# One run for a folder

LOCKED = """
import sys, time
from pathlib import Path
from tinyconv.safefile import only_user_of
with only_user_of(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_run_in_another_process_locks_the_folder_until_it_is_killed(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", LOCKED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        run = trainer(tmp_path)
        with pytest.raises(OSError, match="another run uses the folder .*; wait for it or choose another"):
            run.fit(1)
        assert list(tmp_path.iterdir()) == []
    finally:
        other.kill()
        other.wait()
    run.fit(1)
    assert len(run.history) == 1


def test_a_run_that_went_on_meanwhile_is_not_overwritten(tmp_path):
    """Read while another run was at work, used when that had ended: its epochs would be lost."""
    first = trainer(tmp_path)
    first.fit(1)
    late, newcomer = trainer(tmp_path), trainer(tmp_path)
    late.resume()
    first.fit(2)
    before = first.checkpoint_path.read_bytes()
    for run in (late, newcomer):
        with pytest.raises(CheckpointError, match="went on meanwhile"):
            run.fit(3)
    assert first.checkpoint_path.read_bytes() == before


def test_the_lock_is_no_file_that_stays(tmp_path):
    with only_user_of(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_each_session_is_recorded(tmp_path):
    run = trainer(tmp_path, options={"lr": 0.05}, data={"pack": None})
    run.fit(1)
    again = trainer(tmp_path, options={"lr": 0.01}, data={"pack": None})
    again.resume()
    again.fit(2)
    found = record.read(tmp_path)
    assert [(s["step"], s["options"]) for s in found["sessions"]] == [(0, {"lr": 0.05}), (3, {"lr": 0.01})]
    assert "numpy" in found["sessions"][0]["environment"]["versions"] and found["data"] == {"pack": None}
    (tmp_path / "run.json").write_text("{")
    assert record.read(tmp_path) == {"data": {}, "sessions": []}


# Whose fault it was

class Exploding(Module):
    """exp, of which e^89 is infinite in float32."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def forward(self, x):
        return F.exp(x * self.factor)


class BadGradient(Module):
    """0 forward; backward infinite: the root of 0."""

    def forward(self, x):
        return x + F.pow(x * 0.0, 0.5)


def simple_run(out, middle, **options):
    """Six images, three batches an epoch."""
    data = SyntheticData(classes=3, size=8, train=6, val=3, seed=1)
    model = Sequential({"flatten": Flatten(), "first": Linear(192, 8), "relu": ReLU(), "middle": middle,
                        "last": Linear(8, 3)})
    optimizer = SGD(model.parameters(), 0.01)
    how = EvalTransform(8, 8, data.mean, data.std)
    loaders = [Loader(data.split(name), 2, how, shuffle=False, seed=0, workers=0) for name in ("train", "val")]
    return Trainer(model, optimizer, Schedule(optimizer), *loaders, 3, out, **options)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_the_layer_whose_output_overflows_is_named(tmp_path):
    run = simple_run(tmp_path, Exploding(), clip_norm=1.0)
    run.fit(1)
    before = run.checkpoint_path.read_bytes()
    run.model.middle.factor = 1e4
    with pytest.raises(TrainingError, match=r"loss is nan at batch 1 of epoch 2 \(step 4\): first in the output of "
                                            r"middle \(Exploding\): \d+ inf among 16 numbers; the last checkpoint is"):
        run.fit(2)
    assert run.checkpoint_path.read_bytes() == before
    assert read(run.checkpoint_path)["position"]["epoch"] == 1


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize("clip_norm", [1.0, None])
def test_the_layer_whose_gradient_is_bad_is_named(tmp_path, clip_norm):
    """Without clipping it is seen a step too late, in the weights; the steps since the checkpoint are done again."""
    run = simple_run(tmp_path, BadGradient(), clip_norm=clip_norm)
    with pytest.raises(TrainingError, match=r"norm of the gradients is (nan|inf) at batch 1 of epoch 1 \(step 1\): "
                                            r"first in the gradient of the input of pow, in or before middle "
                                            r"\(BadGradient\): 16 inf among 16") as stop:
        run.fit(1)
    assert "checkpoint is intact" in str(stop.value)
    assert read(run.checkpoint_path)["position"]["batch"] == 0
    assert run.clip_norm == clip_norm


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_weight_that_is_no_number_is_named(tmp_path):
    run = simple_run(tmp_path, ReLU(), clip_norm=1.0)
    run.fit(1)
    run.model.last.weight.copy_(np.full((3, 8), np.nan))
    with pytest.raises(TrainingError, match="an earlier update left inf or nan in last.weight; the last checkpoint"):
        run.fit(2)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_validation_that_overflows_names_the_layer(tmp_path):
    """Training is as it should be; only the validation images overflow."""
    run = simple_run(tmp_path, Exploding(), clip_norm=1.0)
    evaluation = run.validation.transform
    run.validation.transform = EvalTransform(8, 8, evaluation.mean - 1e6 if hasattr(evaluation, "mean") else
                                             np.full(3, -1e6), np.ones(3))
    with pytest.raises(TrainingError, match=r"validation loss is nan .*first in the output of middle \(Exploding\)"):
        run.fit(1)


def test_bad_pixels_are_named():
    model = Sequential({"flatten": Flatten(), "fc": Linear(12, 3)})
    images = np.zeros((2, 3, 2, 2), np.float32)
    images[1, 0, 0, 0] = np.inf
    device = tc.device("cpu")
    found = blame.first_bad(model, images, np.array([0, 1]), device)
    assert found == "first in the pixels of the batch: 1 inf among 24 numbers"
    assert blame.first_bad(model, np.zeros_like(images), np.array([0, 1]), device) is None
    assert blame.bad_parameters(model) == []


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_the_step_is_done_again_with_the_same_dropout(tmp_path):
    """The layer after the dropout overflows with one mask in a few only; with another the blame would find nothing."""
    run = trainer(tmp_path)
    run.fit(1)
    steps = []
    first_bad = blame.first_bad

    def noted(model, *args, **options):
        steps.append(model.drop.step)
        return first_bad(model, *args, **options)

    blame.first_bad = noted
    try:
        run.model.conv.weight.copy_(np.full(run.model.conv.weight.shape, 1e38))
        with pytest.raises(TrainingError, match="first in the output of conv") as stop:
            run.fit(2)
    finally:
        blame.first_bad = first_bad
    assert steps == [3] and re.search(r"\(step 4\)", str(stop.value))


def test_two_devices_are_blamed_alike(tmp_path):
    """The towers' activations lie on two devices."""
    tc.manual_seed(1)
    model = tc.models.alexnet("paper", 3, ["cpu:0", "cpu:1"], 63, "he")
    images = np.random.default_rng(0).standard_normal((2, 3, 63, 63)).astype(np.float32)
    labels = np.array([0, 1])
    assert blame.first_bad(model, images, labels, tc.device("cpu:0")) is None
    weight = dict(model.named_parameters())["towers.1.upper.conv4.weight"]
    weight.copy_(np.full(weight.shape, 3e38))
    found = blame.first_bad(model, images, labels, tc.device("cpu:0"))
    assert found is not None and found.startswith("first in the output of towers.1.upper.conv4 (Conv2d): ")
