"""The command line, on a selection so small that it takes seconds; and the measured peaks."""

import builtins
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as cli
from benchmarks import convolutions, jobs, memory, peak, timing
from benchmarks.processes import Sides

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--quick", "--batch", "1", "--layers", "pool", "relu", "--filter", "5 forward"]


def labels(out):
    data = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    return data, [(r["layer"], r["pass"], r["batch"]) for r in data["results"]]


def test_python_dash_m_benchmarks(tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks", *TINY, "--no-torch", "--out", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    data, found = labels(tmp_path)
    assert found == [("relu5", "forward", 1), ("pool5", "forward", 1)]
    assert set(data["results"][0]["sides"]) == {"tinyconv"} and data["versions"]["torch"] is None
    assert data["settings"]["filter"] == "5 forward" and data["threads"]["tinyconv"] >= 1
    assert data["threads"]["spin_count"] == os.environ["GOMP_SPINCOUNT"]
    assert [p.name for p in tmp_path.iterdir()] == ["bench.json"] and "no picture" in done.stdout
    assert "pool5" in done.stdout and "PyTorch's" in done.stdout and "job" in done.stderr


def test_what_counts_operations_is_drawn_and_an_old_picture_does_not_stay(tmp_path, capsys):
    command = ["--quick", "--batch", "1", "--no-torch", "--out", str(tmp_path)]
    assert cli.main([*command, "--layers", "linear", "--filter", "fc8 forward"]) == 0
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG") and "no picture" not in capsys.readouterr().out
    assert cli.main([*command, "--layers", "inference", "--filter", "caffe"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["bench.json"] and "no picture" in capsys.readouterr().out


def test_with_torch_both_sides_are_timed(tmp_path):
    pytest.importorskip("torch")
    assert cli.main([*TINY, "--out", str(tmp_path)]) == 0
    data, found = labels(tmp_path)
    assert len(found) == 2
    assert all(set(r["sides"]) == {"tinyconv", "torch", "tuned"} and r["ratio"] > 0 for r in data["results"])


def test_without_torch_the_column_is_missing(tmp_path, monkeypatch, capsys):
    """An import that fails, as on a machine without PyTorch."""
    real = builtins.__import__

    def no_torch(name, *args, **kwargs):
        if name == "torch" or name.startswith("torch."):
            raise ImportError("No module named 'torch'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_torch)
    assert cli.main([*TINY, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert "install torch" in output.err and "relu5" in output.out
    assert labels(tmp_path)[0]["results"][0]["ratio"] is None


@pytest.mark.parametrize("arguments, message", [
    (["--filter", "no such layer"], "nothing to measure matches --filter 'no such layer' among conv "),
    (["--networks", "vgg16", "--layers", "lrn", "pool"], "matches --filter '' among lrn pool of vgg16"),
    (["--filter", "("], "no regular expression"), (["--batch", "0"], "at least 1"),
    (["--layers", "convolution"], "invalid choice")])
def test_a_wrong_command_says_what_is_wrong(arguments, message, capsys):
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_everything_is_on_the_list():
    found = list(jobs.all_jobs([1, 32]))
    assert {job.kind for job in found} == set(jobs.KINDS)
    assert sum(job.kind == "conv" and job.network == "alexnet" for job in found) == 2 * 5 * 3
    assert [job.label for job in found if job.kind == "step"][0] == "paper training step batch 1"
    assert sum(job.kind == "update" for job in found) == 1
    assert [job.batch for job in jobs.all_jobs() if job.label.startswith("caffe training step")] == [1, 8, 32, 128]


def test_the_other_networks_have_batch_sizes_of_their_own():
    found = [job for job in jobs.all_jobs() if job.network != "alexnet" and job.kind == "conv"]
    assert {(job.network, job.batch) for job in found} == set(convolutions.BATCH.items())
    assert {job.layer for job in found if job.network == "convnet"} == {"L1", "L2", "L3", "L4", "L5"}


def test_a_job_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    """A shape that nobody can compute: the worker says so and lives."""
    bad = jobs.Job("alexnet", "relu5", "relu", "no such pass", -1)
    monkeypatch.setattr(jobs, "all_jobs", lambda *_: [bad, jobs.Job("alexnet", "relu5", "relu", "forward", 1)])
    assert cli.main(["--quick", "--no-torch", "--out", str(tmp_path)]) == 0
    assert "not measured: relu5 no such pass" in capsys.readouterr().out
    data, found = labels(tmp_path)
    assert found == [("relu5", "forward", 1)] and len(data["failures"]) == 1


def test_a_side_that_ends_begins_anew_with_the_next_job(monkeypatch):
    """As where memory runs out, and the system kills the process."""
    job, effort = jobs.Job("alexnet", "relu5", "relu", "forward", 1), timing.Effort(repeat=1, turn=0.0, patience=0.0)

    def end(process, _):
        process.process.kill()
        return lambda: process.ask("turn", seconds=0.0)

    with Sides([jobs.TINYCONV]) as sides:
        with monkeypatch.context() as patched:
            patched.setattr(Sides, "_turn", staticmethod(end))
            with pytest.raises(RuntimeError, match="the process of tinyconv has ended with code -9"):
                sides.time(job, effort)
        assert sides.time(job, effort)[jobs.TINYCONV].median > 0


def test_a_breakdown_names_launches_and_what_moves_data(tmp_path):
    assert cli.main(["--quick", "--batch", "1", "--layers", "profile", "--filter", "torchvision", "--out",
                     str(tmp_path)]) == 0
    (found,) = labels(tmp_path)[0]["profile"]
    calls = {row["name"]: row["calls"] for row in found["launches"]}
    assert found["batch"] == 1 and 0 <= found["relayout_seconds"] < found["seconds_per_step"]
    inside = {row["name"] for row in found["functions"]}
    assert {"conv.direct.pack", "conv.direct.frame"} <= inside, inside
    assert not any(name.startswith("elementwise") for name in inside)  # these are launches: not counted twice
    seconds = sum(row["seconds"] for row in [*found["functions"], *found["launches"]]
                  if row["name"] in inside | {"elementwise.copy"})
    assert found["relayout_seconds"] == pytest.approx(seconds)
    assert calls["softmax_cross_entropy.forward"] == 1


def test_peaks_are_plausible():
    """No machine of today does less than 0.1 GFLOP/s, or as much as 10 TFLOP/s a core: a loop that the compiler removed
    would seem to."""
    found = peak.measure(0.02)
    assert 0.1 < found.gflops_one_core < 1e4 and 0.1 < found.gflops < 1e6 and 0.01 < found.gbytes < 1e5
    assert peak.better(peak.Peak(1, 5, 3), peak.Peak(2, 4, 3)) == peak.Peak(2, 5, 3)


def test_page_faults_are_counted_in_another_process():
    found = memory.measure("tinyconv", "torchvision", 1, warm=1, steps=1)
    assert found["peak_bytes"] > 3 * 4 * 61_100_840  # weights, gradients and velocities alone
    assert found["faults_per_step"] >= 0 and found["seconds_per_step"] > 0
