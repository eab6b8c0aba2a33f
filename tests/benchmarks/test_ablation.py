"""The ablation: equal cost, runs that go on and are not repeated, the table's numbers, bad input."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyconv as tc
from benchmarks import photos, result_file
from benchmarks.ablation import __main__ as cli
from benchmarks.ablation import table
from benchmarks.ablation.networks import NETWORKS, PIXELS
from tinyconv.data.opening import EMBEDDED
from tinyconv.training.checkpoint import read

from ..stopping import stop_in_training

ROOT = Path(__file__).resolve().parents[2]
# Three batches of eight embedded images in an epoch.
QUICK = ["--data", str(EMBEDDED), "--epochs", "1", "--batch", "8", "--limit-batches", "3"]


def epoch(top1, top5, loss=1.0, seconds=1.0):
    return {"val_top1": top1, "val_top5": top5, "train_loss": loss, "seconds": seconds}


def result(network, seed, *epochs):
    return {"network": network, "seed": seed, "macs": 23_000_000, "parameters": 2_000_000, "epochs": list(epochs)}


def test_one_tower_costs_what_two_do():
    cost = {n.name: tc.nn.summary(n.build(50), (1, 3, PIXELS, PIXELS)).multiply_accumulates for n in NETWORKS}
    assert list(cost) == ["two, LRN", "two, no LRN", "one, LRN", "one, no LRN"]
    assert cost["two, LRN"] == cost["two, no LRN"] and cost["one, LRN"] == cost["one, no LRN"]
    assert cost["one, LRN"] == pytest.approx(cost["two, LRN"], rel=0.01)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_each_network_is_what_its_name_says(network):
    names = [line.name for line in tc.nn.summary(network.build(50), (1, 3, PIXELS, PIXELS)).lines]
    assert sum(name.endswith("conv1") for name in names) == network.towers
    assert sum("norm" in name for name in names) == 2 * network.towers * network.norm


def test_all_networks_start_with_a_signal_of_the_same_size():
    """LRN divides; without the larger weights behind it, the logits would be a ninth of what they are.  (Of photos they
    are equally large; noise has higher maxima in the pooling windows, and LRN evens those out.)"""
    x = tc.tensor(np.random.default_rng(0).standard_normal((32, 3, PIXELS, PIXELS)))
    size = []
    for network in NETWORKS:
        tc.manual_seed(0)
        size.append(float(network.build(50).eval()(x).numpy().std()))
    assert max(size) < 4 * min(size)


def test_a_kill_and_a_second_call_go_on(tmp_path, capsys):
    """Killed in the midst of the second of two runs.  The same command does what is missing, and nothing twice."""
    arguments = [*QUICK, "--limit-batches", "12", "--out", str(tmp_path), "--seeds", "4", "--only", "two, L|one, no"]
    command = [sys.executable, "-m", "benchmarks.ablation", *arguments]
    stop_in_training(command, signal.SIGKILL, run=2, cwd=ROOT)
    first = tmp_path / "two-LRN-seed-4" / "result.json"
    before = first.stat().st_mtime_ns
    assert not (tmp_path / "one-no-LRN-seed-4" / "result.json").exists()

    assert cli.main(arguments) == 0
    output = capsys.readouterr().out
    assert "run 1 of 1: one, no LRN, seed 4" in output
    assert first.stat().st_mtime_ns == before
    whole = json.loads((tmp_path / "ablation.json").read_text())
    assert [line["network"] for line in whole["networks"]] == ["two, LRN", "one, no LRN"]
    assert [line["seeds"] for line in whole["networks"]] == [[4], [4]]
    assert (tmp_path / "ablation.md").read_text() in output

    assert cli.main(arguments) == 0
    assert "run 1" not in capsys.readouterr().out


def test_a_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch, capsys):
    """Stopped after the epoch, before the result was written; the checkpoint knows all that the result needs."""
    arguments = [*QUICK, "--out", str(tmp_path), "--only", "one, LRN", "--seeds", "0"]
    monkeypatch.setattr(result_file, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(arguments) == 130
    weights = read(tmp_path / "one-LRN-seed-0" / "checkpoint.h5")["model"]
    monkeypatch.undo()
    assert cli.main(arguments) == 0
    assert "going on after 1 epochs" in capsys.readouterr().out
    again = read(tmp_path / "one-LRN-seed-0" / "checkpoint.h5")["model"]
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    found = json.loads((tmp_path / "one-LRN-seed-0" / "result.json").read_text())
    assert [line["train_images"] for line in found["epochs"]] == [24]

    assert cli.main([*arguments, "--epochs", "2"]) == 1
    assert "with epochs 1, not 2; choose another folder" in capsys.readouterr().err


def test_the_table_has_the_right_numbers():
    results = [result("two, LRN", 0, epoch(0.1, 0.3, 3.0, 40), epoch(0.40, 0.70, 2.0, 10)),
               result("two, LRN", 1, epoch(0.1, 0.3, 3.0, 12), epoch(0.50, 0.80, 1.0, 12)),
               result("two, no LRN", 0, epoch(0.37, 0.65)), result("two, no LRN", 1, epoch(0.49, 0.75)),
               result("one, LRN", 0, epoch(0.42, 0.70))]
    first, second, third = table.lines(results)
    assert first["top1_error"] == pytest.approx({"mean": 0.55, "min": 0.5, "max": 0.6})
    assert first["top5_error"] == pytest.approx({"mean": 0.25, "min": 0.2, "max": 0.3})
    assert first["train_loss"] == pytest.approx({"mean": 1.5, "min": 1, "max": 2})
    assert first["seconds_per_epoch"] == 12 and first["seeds"] == [0, 1] and third["seeds"] == [0]
    norm, towers = table.effects(results)
    assert (norm["idea"], norm["pairs"]) == ("LRN", 2) and (towers["idea"], towers["pairs"]) == ("two towers", 1)
    assert norm["top1_gain"] == pytest.approx({"mean": 0.02, "min": 0.01, "max": 0.03})
    assert towers["top1_gain"] == pytest.approx({"mean": -0.02, "min": -0.02, "max": -0.02})
    text = table.text(results)
    assert re.search(r"two, LRN +\| 23.00 M \| 2,000,000 +\| 2 +\| 55.0 \(50.0 to 60.0\) +\| 25.0 \(20.0", text)
    assert "LRN: the error falls by 2.0 (1.0 to 3.0) points (top-1)" in text
    assert "two towers: the error falls by -2.0" in text


@pytest.mark.parametrize("arguments, message", [
    (["--data", "nowhere"], "nowhere does not exist"), (["--data", "{empty}"], "empty"),
    (["--only", "three"], "no run matches --only 'three'"), (["--only", "("], "no regular expression"),
    (["--epochs", "0"], "at least 1"), (["--lr", "-1"], "lr"), (["--seeds", "-1"], "seed"),
    (["--devices", "cpu", "cpu", "cpu"], "one or two towers, but these are 3 devices")])
def test_bad_input_is_one_clear_line(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    filled = [a.format(empty=tmp_path / "empty") for a in arguments]
    command = [sys.executable, "-m", "benchmarks.ablation", *QUICK, "--out", str(tmp_path / "out"), *filled]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_without_photos_one_is_told_to_name_some(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(photos, "DATA", tmp_path / "nowhere")
    with pytest.raises(SystemExit) as end:
        cli.main(["--out", str(tmp_path)])
    assert end.value.code == 2 and "with --data" in capsys.readouterr().err
