"""The benchmark of a GPU, emulated: it times what it says, and writes it down.  The times themselves say nothing."""

import json

import numpy as np
import pytest

import tinyconv as tc
from benchmarks import gpu, jobs, layers, shapes

from ..conftest import WHY_NO_CUDA, needs_cuda

SMALL = [shapes.Conv("conv1", (3, 11, 11), 4, 3, stride=2), shapes.Linear("fc", (12,), 7), shapes.LRN("lrn", (7, 3, 3)),
         shapes.Pool("pool", (5, 8, 8)), shapes.LRNMaxPool("lrn-pool", (7, 6, 6)),
         shapes.ReLU("relu", (4, 5, 5)), shapes.Loss("loss", (10,)), shapes.Update("update", (26,), ((4, 5), (6,)))]


class TestOnAGpu:
    pytestmark = needs_cuda

    @pytest.mark.parametrize("layer, which", [(layer, which) for layer in SMALL for which in layer.passes],
                             ids=lambda value: getattr(value, "name", value))
    def test_it_runs_what_the_cpu_runs(self, layer, which):
        data = layers.numbers(layer, 3)
        there, here = layers.side(layer, which, data, "cuda:0"), layers.side(layer, which, data)
        there.run()
        here.run()
        for name, expected in here.result().items():
            difference = np.abs(there.result()[name] - expected).max()
            assert difference <= 1e-5 * np.abs(expected).max(), (name, difference)  # float32, sums in another order

    def test_every_rung_has_a_line(self, tmp_path, capsys):
        assert gpu.main(["--batch", "1", "--layers", "linear", "--filter", "fc8 forward", "--repeat", "2",
                         "--no-torch", "--out", str(tmp_path)]) == 0
        lines = json.loads((tmp_path / "gpu.json").read_text())["lines"]
        assert [line["side"] for line in lines] == ["naive", "tiled", "register", "vectorised", "tf32"]
        assert all(len(line["milliseconds"]) == 2 and min(line["milliseconds"]) > 0 for line in lines)
        assert all(line["flops"] == 2 * 4096 * 1000 for line in lines)
        printed = capsys.readouterr().out
        assert "sm_" in printed and printed.count("GFLOP/s") == 5

    def test_each_rung_really_runs(self, monkeypatch):
        seen = []
        job = next(job for job in jobs.all_jobs([1]) if job.label.startswith("fc8 forward"))
        monkeypatch.setattr(layers, "side", lambda *_: layers.Side(
            lambda: seen.append(gpu.ladder.chosen("linear.forward", np.float32)), dict))
        list(gpu.measure(job, tc.device("cuda:0"), repeat=1, with_torch=False))
        assert set(seen) == {"naive", "tiled", "register", "vectorised", "tf32"}


@pytest.mark.parametrize("arguments, message", [
    (["--device", "cpu"], "--device cpu is no GPU"), (["--device", "cuda:99"], "no device 'cuda:99' here"),
    (["--filter", "nonsense"], "nothing to measure matches --filter 'nonsense'"),
    (["--out", __file__], "cannot make the folder")])
def test_what_cannot_be_measured_is_one_line(arguments, message, capsys):
    if WHY_NO_CUDA is not None:
        pytest.skip(WHY_NO_CUDA)
    with pytest.raises(SystemExit) as stop:
        gpu.main(arguments)
    told = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and message in told and len(told.splitlines()) == 1
