"""The training loop: what it writes, and that stopping and going on changes nothing."""

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

import tinyconv as tc
from tinyconv.training import CheckpointError, Interrupted, TrainingError, checkpoint
from tinyconv.training.checkpoint import read

from ..conftest import CUDA
from .small import PLACE, bits, log, trainer


@pytest.fixture(scope="module", params=["cpu", CUDA], autouse=True)
def where(request):
    """Every test here runs once on each device that trains."""
    PLACE.device = request.param
    yield request.param
    PLACE.device = "cpu"


@pytest.fixture(scope="module")
def undisturbed(where, tmp_path_factory):
    run = trainer(tmp_path_factory.mktemp("undisturbed"))
    run.fit(4)
    return run


def test_it_learns(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyconv.training.trainer.curves", lambda *args: None)  # half a second for each of 30 epochs
    run = trainer(tmp_path, patience=100)
    run.fit(30)
    assert run.history[-1]["train_loss"] < 0.6 * run.history[0]["train_loss"]


def test_it_writes_a_log_line_per_epoch_and_a_picture(undisturbed):
    lines = [json.loads(line) for line in (undisturbed.out / "log.jsonl").read_text().splitlines()]
    assert lines == undisturbed.history
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert all(line["train_images"] == 24 and line["val_images"] == 12 for line in lines)
    with Image.open(undisturbed.out / "curves.png") as picture:
        assert len(set(picture.convert("RGB").resize((100, 40)).tobytes())) > 10  # not blank


def test_no_temporary_file_stays(undisturbed):
    assert sorted(p.name for p in undisturbed.out.iterdir()) == [
        "best.h5", "checkpoint.h5", "checkpoints", "curves.png", "log.jsonl", "run.json", "steps.jsonl"]


def stop_after(run, batches):
    """Send Ctrl-C to ourselves when so many training batches are done."""
    step, count = run._step, 0

    def counted(*args):
        nonlocal count
        done = step(*args)
        count += 1
        if count == batches:
            os.kill(os.getpid(), signal.SIGINT)
        return done

    run._step = counted
    with pytest.raises(Interrupted, match="saved in"):
        run.fit(4)


@pytest.mark.parametrize("batches", [1, 3, 5, 9])  # within an epoch, and after its last batch, before validation
def test_ctrl_c_saves_and_going_on_gives_the_same_bits(undisturbed, tmp_path, batches):
    stop_after(trainer(tmp_path), batches)
    again = trainer(tmp_path, seed=3)
    again.resume()
    assert (again.epoch, again.batch) == ((batches - 1) // 3, (batches - 1) % 3 + 1)
    again.fit(4)
    assert bits(again) == bits(undisturbed)
    assert log(again) == log(undisturbed)


def test_stopping_twice_gives_the_same_bits(undisturbed, tmp_path):
    stop_after(trainer(tmp_path), 2)
    second = trainer(tmp_path)
    second.resume()
    stop_after(second, 3)
    third = trainer(tmp_path)
    third.resume()
    third.fit(4)
    assert bits(third) == bits(undisturbed)


def test_another_seed_gives_other_bits(undisturbed, tmp_path):
    """So that the tests above do not hold by accident."""
    run = trainer(tmp_path, seed=4)
    run.fit(4)
    assert bits(run) != bits(undisturbed)


def test_signals_are_as_before_afterwards(undisturbed):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_does_nothing_more(undisturbed):
    before = bits(undisturbed)
    undisturbed.fit(4)
    assert bits(undisturbed) == before


def test_a_log_that_is_ahead_of_its_checkpoint_is_put_right(tmp_path):
    run = trainer(tmp_path)
    run.fit(1)
    (tmp_path / "log.jsonl").write_text((tmp_path / "log.jsonl").read_text() * 2)
    again = trainer(tmp_path)
    again.resume()
    again.fit(2)
    assert [json.loads(line)["epoch"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_the_plateau_schedule_is_restored(tmp_path):
    run = trainer(tmp_path)
    run.schedule.best, run.schedule.waited, run.schedule.falls = 0.75, 0, 2
    run.save()
    again = trainer(tmp_path)
    again.resume()
    assert (again.schedule.best, again.schedule.waited, again.schedule.falls) == (0.75, 0, 2)
    assert again.schedule.batch(0) == pytest.approx(0.05 * 0.01)


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_checkpoint(tmp_path):
    run = trainer(tmp_path)
    run.fit(1)
    before = (tmp_path / "checkpoint.h5").read_bytes()
    weight = dict(run.model.named_parameters())["fc.weight"]
    weight.copy_(np.full(weight.shape, np.nan))
    with pytest.raises(TrainingError, match="loss is nan at batch 1 of epoch 2.*checkpoint is intact.*--lr"):
        run.fit(2)
    assert (tmp_path / "checkpoint.h5").read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing(tmp_path):
    trainer(tmp_path).save()
    other = trainer(tmp_path, width=6)
    before = bits(other)
    with pytest.raises(CheckpointError, match=r"another network.*conv\.weight has shape \(8, 3, 3, 3\)"):
        other.resume()
    assert bits(other) == before


def test_a_checkpoint_of_another_batch_size_is_refused(tmp_path):
    trainer(tmp_path).save()
    with pytest.raises(CheckpointError, match="batch 8, not 6; use the same"):
        trainer(tmp_path, batch=6).resume()


@pytest.mark.parametrize("damage, message", [
    (lambda data: data[:len(data) // 2], "damaged or not an HDF5 file"),
    (lambda data: b"", "damaged or not an HDF5 file"),
    (lambda data: b"weights" * 1000, "damaged or not an HDF5 file"),
])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, message):
    run = trainer(tmp_path)
    run.save()
    run.checkpoint_path.write_bytes(damage(run.checkpoint_path.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        trainer(tmp_path).resume()


def test_a_state_that_is_no_checkpoint_is_refused(tmp_path):
    tc.save({"model": {}}, tmp_path / "state.h5")
    with pytest.raises(CheckpointError, match="no checkpoint of a training run: it has no dropout"):
        trainer(tmp_path).resume(tmp_path / "state.h5")


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        trainer(tmp_path).resume(tmp_path / "nowhere.h5")


def test_a_long_history_fits(tmp_path):
    """HDF5 attributes end at 64 KiB; ninety epochs of log are more."""
    run = trainer(tmp_path)
    run.history = [{"epoch": i, "text": "x" * 1000} for i in range(200)]
    run.save()
    assert read(run.checkpoint_path)["history"] == run.history


def test_limit_batches(tmp_path):
    run = trainer(tmp_path, limit_batches=1)
    run.fit(2)
    assert [(line["train_images"], line["val_images"]) for line in run.history] == [(8, 8), (8, 8)]


def test_warm_steps_ask_the_system_for_no_memory(where, tmp_path):
    run = trainer(tmp_path)
    run.fit(2)
    pool = tc.device(where).pool
    held, peak = pool.lent + pool.shelved, pool.peak
    run.fit(5)
    assert (pool.lent + pool.shelved, pool.peak) == (held, peak)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The last update of an epoch may ruin them after its loss was seen to be good."""
    run = trainer(tmp_path)
    run.fit(1)
    before = (tmp_path / "checkpoint.h5").read_bytes()
    step = run.optimizer.step

    def ruin():
        step()
        run.model.fc.weight.copy_(np.full(run.model.fc.weight.shape, np.inf))

    run.optimizer.step = ruin
    run.batches = 1
    with pytest.raises(TrainingError, match="validation loss is nan|weight is no longer a number"):
        run.fit(2)
    with pytest.raises(TrainingError, match="a weight is no longer a number.*checkpoint is intact"):
        run.save()
    assert (tmp_path / "checkpoint.h5").read_bytes() == before
    assert [json.loads(line)["epoch"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1]


def test_gradients_that_are_no_numbers_stop_the_run(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    backward = tc.Tensor.backward

    def spoil(tensor, gradient=None):
        backward(tensor, gradient)
        grad = run.model.fc.weight.grad
        grad.copy_(np.full(grad.shape, np.nan))

    monkeypatch.setattr(tc.Tensor, "backward", spoil)
    with pytest.raises(TrainingError, match="norm of the gradients is nan at batch 1 of epoch 1"):
        run.fit(1)


def test_ctrl_c_during_validation_gives_the_same_bits(undisturbed, tmp_path):
    run = trainer(tmp_path)
    validate, calls = run._validate, 0

    def interrupted(epochs):
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return validate(epochs)

    run._validate = interrupted
    with pytest.raises(Interrupted, match="1 epochs and 3 of 3 batches"):
        run.fit(4)
    again = trainer(tmp_path)
    again.resume()
    again.fit(4)
    assert bits(again) == bits(undisturbed)
    assert log(again) == log(undisturbed)


def test_two_runs_in_one_folder(tmp_path):
    first, second = trainer(tmp_path), trainer(tmp_path)
    train_epoch = first._train_epoch

    def both(epochs):
        with pytest.raises(OSError, match="another run uses the folder"):
            second.fit(1)
        train_epoch(epochs)

    first._train_epoch = both
    first.fit(1)
    assert len(first.history) == 1
    second.resume()
    second.fit(1)  # the lock is gone with the run


def test_random_damage_is_a_clear_error(tmp_path):
    """Wherever it is; without a checksum HDF5 reads some of it as numbers, and some makes it search for ever."""
    run = trainer(tmp_path)
    run.save()
    whole = run.checkpoint_path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole) - 25))] ^= 1 << int(rng.integers(8))  # but for the checksum itself
        run.checkpoint_path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="does not match its checksum"):
            trainer(tmp_path).resume()
    run.checkpoint_path.write_bytes(whole)
    trainer(tmp_path).resume()


@pytest.mark.parametrize("part, name", [("dropout", "drop"), ("optimizer", "lr"), ("position", "batch"),
                                        ("schedule", "best")])
def test_an_incomplete_checkpoint_is_refused(tmp_path, part, name):
    run = trainer(tmp_path)
    run.save()
    state = tc.load(run.checkpoint_path)
    del state[part][name]
    tc.save(state, run.checkpoint_path)
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(tmp_path).resume()


def test_what_changed_since_the_checkpoint_is_told(tmp_path, capsys):
    trainer(tmp_path, may_change={"lr": 0.05, "epochs": 4}).save()
    trainer(tmp_path, may_change={"lr": 0.01, "epochs": 4}).resume()
    assert capsys.readouterr().out.splitlines()[-1] == "changed since the checkpoint: lr was 0.05, now 0.01"


def test_lost_curves_are_drawn_again(tmp_path):
    run = trainer(tmp_path)
    run.fit(1)
    (tmp_path / "curves.png").unlink()
    again = trainer(tmp_path)
    again.resume()
    again.fit(1)
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_save_that_failed_is_made_up_for(undisturbed, tmp_path, monkeypatch):
    """The disk was full at the end of an epoch; with room again the same program goes on."""
    run, write, calls = trainer(tmp_path), checkpoint.write, []

    def full_once(*arguments):
        calls.append(1)
        if len(calls) == 2:  # the first is made before the first step
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write", full_once)
    with pytest.raises(OSError, match="No space"):
        run.fit(1)
    run.fit(1)
    for name in ("checkpoint.h5", "best.h5"):
        saved = trainer(tmp_path, seed=3)
        saved.resume(tmp_path / name)
        assert (saved.epoch, bits(saved)) == (1, bits(run))
    run.fit(4)
    assert bits(run) == bits(undisturbed)


def test_a_step_that_failed_is_done_again(undisturbed, tmp_path, monkeypatch):
    """After forward: so dropout has drawn its numbers already."""
    run, fails = trainer(tmp_path), [False, False, False, False, True]
    backward = tc.Tensor.backward

    def sometimes(*arguments):
        if fails and fails.pop(0):
            raise MemoryError
        backward(*arguments)

    monkeypatch.setattr(tc.Tensor, "backward", sometimes)
    with pytest.raises(MemoryError):
        run.fit(4)
    run.fit(4)
    assert bits(run) == bits(undisturbed)


def test_after_half_an_update_only_the_checkpoint_helps(undisturbed, tmp_path, monkeypatch):
    run = trainer(tmp_path)
    run.fit(1)
    with monkeypatch.context() as patched:
        patched.setattr(run.optimizer, "step", lambda: run.optimizer.groups[5])
        with pytest.raises(IndexError):
            run.fit(4)
    with pytest.raises(TrainingError, match=r"in the middle of its update, .* resume\(\)"):
        run.fit(4)
    run.resume()
    run.fit(4)
    assert bits(run) == bits(undisturbed)
