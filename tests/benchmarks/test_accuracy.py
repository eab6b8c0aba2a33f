"""The comparison of accuracies: tinyconv's side, the table's numbers, bad input.  PyTorch's: test_accuracy_torch.py."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import result_file
from benchmarks.accuracy import __main__ as cli
from benchmarks.accuracy import table

from ..stopping import stop_in_training
from .accuracy_photos import make

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--epochs", "1", "--batch", "4", "--resize", "70", "--crop", "63", "--seeds", "3"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make(tmp_path_factory.mktemp("photos"))


def test_tinyconvs_side_is_what_a_user_would_type(photos, tmp_path, capfd):
    """The result is that of tinyconv.evaluate; what is finished is not repeated, nor taken for another recipe."""
    arguments = [*QUICK, "--data", str(photos), "--out", str(tmp_path), "--only", "tinyconv", "--lr", "0.02"]
    assert cli.main(arguments) == 0
    output = capfd.readouterr().out
    assert "run 1 of 1: tinyconv, seed 3" in output and (tmp_path / "accuracy.md").read_text() in output
    found = json.loads((tmp_path / "tinyconv-seed-3" / "result.json").read_text())
    evaluation = json.loads((tmp_path / "tinyconv-seed-3" / "evaluation.json").read_text())
    centre, ten = evaluation["results"]
    assert [found["centre"]["top1"], found["ten"]["top5"]] == [centre["top1"]["share"], ten["top5"]["share"]]
    assert found["images"] == 18 and found["centre"]["top1"] == found["epochs"][-1]["val_top1"]
    options = json.loads((tmp_path / "tinyconv-seed-3" / "run.json").read_text())["sessions"][-1]["options"]
    assert (options["lr"], options["resize"], options["seed"], options["color_noise"]) == (0.02, 70, 3, 0.1)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")

    assert cli.main(arguments) == 0
    assert "run 1" not in capfd.readouterr().out
    assert cli.main([*arguments, "--epochs", "2"]) == 1
    assert "with epochs 1, not 2; choose another folder" in capfd.readouterr().err


def result(side, seed, centre, ten):
    return {"settings": {"side": side, "seed": seed}, "images": 2500, "epochs": [],
            "centre": {"top1": centre, "top5": centre + 0.3}, "ten": {"top1": ten, "top5": ten + 0.25}}


def test_the_table_has_the_right_numbers():
    results = [result("tinyconv", 0, 0.44, 0.46), result("tinyconv", 1, 0.46, 0.47), result("PyTorch", 0, 0.45, 0.455)]
    assert table.apart(results[:2]) == {}
    first, ten, other, _ = table.lines(results)
    assert first["top1"] == pytest.approx({"mean": 0.45, "min": 0.44, "max": 0.46}) and first["seeds"] == [0, 1]
    assert ten["top5"]["mean"] == pytest.approx(0.715) and other["seeds"] == [0]
    assert table.apart(results)["ten"]["top1"] == pytest.approx(0.01)
    text = table.text(results)
    assert "centre +0.00 (top-1)" in text and "ten crops +1.00 (top-1) and +1.00 (top-5)" in text
    assert "45.00 (44.00 to 46.00)" in text and "2,500 validation photos" in text


def test_a_command_that_fails_is_told(photos, tmp_path, capfd):
    """The example finds a checkpoint that is none."""
    folder = tmp_path / "tinyconv-seed-3"
    folder.mkdir()
    (folder / "checkpoint.h5").write_bytes(b"no checkpoint")
    assert cli.main([*QUICK, "--data", str(photos), "--out", str(tmp_path), "--only", "tinyconv"]) == 1
    *_, own, last = capfd.readouterr().err.splitlines()
    assert "checkpoint.h5" in own and "examples/alexnet_imagenet.py ended with exit status 1" in last
    assert result_file.finished(folder, {}) is None


def test_ctrl_c_saves_and_the_same_command_goes_on(photos, tmp_path):
    command = [sys.executable, "-m", "benchmarks.accuracy", *QUICK, "--epochs", "50", "--data", str(photos),
               "--out", str(tmp_path), "--only", "tinyconv"]
    status, output = stop_in_training(command, signal.SIGINT, cwd=ROOT)
    assert status == 130 and "everything is saved" in output
    assert "examples/alexnet_imagenet.py" in output.splitlines()[-1]
    settings = json.loads((tmp_path / "tinyconv-seed-3" / "settings.json").read_text())
    assert settings["epochs"] == 50

    done = subprocess.run([*command, "--epochs", "1"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "holds a run with epochs 50, not 1" in done.stderr


@pytest.mark.parametrize("arguments, message", [
    (["--only", "Caffe"], "no run matches --only 'Caffe'"), (["--seeds", "-1"], "at least 0"),
    (["--crop", "80"], "must fit into the image"), (["--lr", "nan"], "must be greater than 0"),
    (["--epochs", "1000"], "at most 999"), (["--data", "nowhere"], "nowhere does not exist")])
def test_bad_input_is_one_clear_line(photos, tmp_path, arguments, message):
    command = [sys.executable, "-m", "benchmarks.accuracy", *QUICK, "--data", str(photos),
               "--out", str(tmp_path / "out"), "--only", "tinyconv", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line
