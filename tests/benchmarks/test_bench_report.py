"""The table, the JSON and the picture, from results that are made up."""

import json

import pytest

from benchmarks import report
from benchmarks.peak import Peak
from benchmarks.timing import Timing

PEAK = Peak(100.0, 200.0, 20.0)
ABOUT = {"date": "2024-01-01T00:00:00+00:00", "threads": {"tinyconv": 2}, "settings": {},
         "machine": {"cpu": "A CPU", "cores": 2, "isa": ["avx2"], "load": 0.1},
         "versions": {"python": "3.11", "numpy": "2", "torch": "2.13", "tinyconv": "0.1", "commit": None}}


def made_up(with_torch=True):
    def timings(ours, theirs):
        return {"tinyconv": Timing((ours,) * 3), **({"torch": Timing((theirs,) * 3)} if with_torch else {})}

    results = [report.Result("conv1", "conv", "forward", 1, int(1e9), int(1e6), timings(0.010, 0.020)),
               report.Result("relu1", "relu", "forward", 1, 0, int(1e7), timings(0.001, 0.0005)),
               report.Result("update", "update", "update", None, 0, int(1e9), timings(0.1, 0.2)),
               report.Result("paper", "step", "training step", 32, int(1e11), 0, timings(1.0, 0.9))]
    memory = [{"side": "tinyconv", "variant": "paper", "batch": 32, "faults_per_step": 12, "seconds_per_step": 1.5,
               "peak_bytes": 1 << 30}]
    return report.Report(ABOUT, PEAK, results, memory)


def test_rates_shares_and_ratios():
    conv, relu, *_ = made_up().results
    assert (conv.rate(), conv.share(PEAK)) == pytest.approx((100, 0.5))
    assert (conv.unit, conv.ratio) == ("GFLOP/s", 2)
    assert (relu.rate(), relu.share(PEAK)) == pytest.approx((10, 0.5))
    assert (relu.unit, relu.ratio) == ("GB/s", 0.5)


def test_json_layout(tmp_path):
    path = tmp_path / "new" / "bench.json"
    report.write_json(made_up(), path)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert list(data) == ["format", "date", "threads", "settings", "machine", "versions", "peak", "results", "memory",
                          "profile", "startup", "failures"]
    assert data["format"] == 2 and data["peak"] == {"gflops_one_core": 100, "gflops": 200, "gbytes": 20}
    first = data["results"][0]
    assert list(first) == ["network", "layer", "kind", "pass", "batch", "flops", "bytes", "unit", "sides", "ratio"]
    assert first["sides"]["torch"]["median_s"] == 0.02 and first["sides"]["tinyconv"]["runs"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["bench.json"]  # no temporary file is left


def test_table_with_and_without_torch():
    lines = made_up().table().splitlines()
    conv = next(line for line in lines if line.startswith("conv1"))
    assert conv.split() == "conv1 forward 10.000 ms 3 100.0 GFLOP/s 50% 20.000 ms 50.0 2.00x".split()
    assert any(line.split()[:4] == ["paper", "32", "tinyconv", "12"] for line in lines)
    without = made_up(with_torch=False).table().splitlines()
    conv = next(line for line in without if line.startswith("conv1"))
    assert conv.split() == "conv1 forward 10.000 ms 3 100.0 GFLOP/s 50%".split()
    assert not any("ratio" in line for line in without if line.startswith("layer"))


@pytest.mark.parametrize("with_torch", [True, False])
def test_picture(tmp_path, with_torch):
    from PIL import Image

    from benchmarks import picture

    picture.draw(made_up(with_torch), tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as image:
        assert image.format == "PNG" and image.width > 500 and len(image.convert("L").getcolors()) > 10
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text("old", encoding="utf-8")

    def fail(part):
        part.write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report.write(path, fail)
    assert path.read_text(encoding="utf-8") == "old"


def test_ratios_are_to_the_tuned_pytorch_where_there_is_one():
    timings = {"tinyconv": Timing((1.0,)), "torch": Timing((4.0,)), "tuned": Timing((3.0,), 2, way="channels_last")}
    result = report.Result("conv1", "conv", "forward", 1, int(1e9), int(1e6), timings)
    assert (result.ratio, result.ratio_to("torch"), result.intensity) == (3.0, 4.0, 1000.0)
    line = next(line for line in report.Report(ABOUT, PEAK, [result]).table().splitlines() if line.startswith("conv1"))
    assert line.split()[-5:] == ["3000.000", "ms", "0.3", "3.00x", "c"] and "4.00x" in line
    tuned = result.as_json(PEAK)["sides"]["tuned"]
    assert (tuned["layout"], tuned["dropped"], tuned["disturbed"], tuned["ratio"]) == ("channels_last", 2, False, 3.0)


def test_what_was_disturbed_is_marked():
    result = report.Result("relu1", "relu", "forward", 1, 0, int(1e7), {"tinyconv": Timing((0.5,), disturbed=True)})
    table = report.Report(ABOUT, PEAK, [result]).table()
    assert "500.000 ms*" in table and "other programs disturbed" in table


def test_breakdown_and_start_up_lines():
    profile = {"variant": "paper", "batch": 8, "seconds_per_step": 0.2, "relayout_seconds": 0.01,
               "launches": [{"name": "conv.forward", "calls": 5, "seconds": 0.15}],
               "functions": [{"name": "conv.direct.pack", "calls": 9, "seconds": 0.01}]}
    startup = {"variant": "paper", "compile_seconds": 20.0, "cold": {"import": 1, "forward": 12, "step": 22},
               "warm": {"import": 1, "forward": 1.5, "step": 2}}
    table = report.Report(ABOUT, PEAK, [], [], [profile], [startup], ["fc6: too large"]).table()
    assert "packing and re-layout 5.0%" in table and "not measured: fc6: too large" in table
    rows = {" ".join(line.split()[:2]): line.split() for line in table.splitlines()}
    assert rows["conv.forward 5"][-3:] == ["150.00", "ms", "75.0%"]
    assert rows["between launches"][-3:] == ["50.00", "ms", "25.0%"]
    assert rows["first forward"][-2:] == ["12.00", "1.50"]
