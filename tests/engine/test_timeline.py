"""The timeline: what is recorded, the sums, the Chrome trace and the picture, from spans made by hand."""

import inspect
import json
import math
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tinyconv as tc
from tinyconv.timeline import Span, Timeline, active, by_folder, current_phase, phase, size
from tinyconv.timeline_merge import arrows, blocks
from tinyconv.timeline_picture import COLOURS, PHASES, draw

MS = 1e-3


def launch(device: str, name: str, begin: float, end: float, phase: str = "forward", **more: Any) -> Span:
    """Times in milliseconds."""
    return Span(device, name, phase, begin * MS, end * MS, **more)


def copy(source: str, target: str, sent: float, begin: float, end: float, nbytes: int, phase: str = "forward") -> Span:
    return launch(target, "copy", begin, end, phase, source=source, nbytes=nbytes, sent=sent * MS)


def recorded(*spans: Span) -> Timeline:
    result = Timeline()
    for span in spans:
        result.add(span)
    result.close()
    return result


@pytest.fixture
def step() -> Timeline:
    """Two towers: each convolves, sends the other its half, goes on with both; then backward.  From 10 to 30 ms."""
    return recorded(
        launch("cpu:1", "conv.forward", 10, 15),  # 5
        launch("cpu:0", "conv.forward", 10, 13, origin="train.py:41 in main"),  # 3
        copy("cpu:1", "cpu:0", 15, 15, 16, 3_000),  # 1
        copy("cpu:0", "cpu:1", 13, 15, 16, 2_000),
        launch("cpu:0", "linear.forward", 16, 18),  # 2
        launch("cpu:1", "linear.forward", 16, 17),
        launch("cpu:0", "linear.backward_weight", 18, 24, "backward"),  # 6
        launch("cpu:1", "linear.backward_weight", 17, 24, "backward"),
        copy("cpu:1", "cpu:0", 24, 24, 25, 1_000, "backward"),  # 1
        launch("cpu:0", "update.sgd", 26, 30, ""),  # 4
    )


# Recording

def test_spans_are_in_the_order_of_their_begin_once_it_is_closed() -> None:
    late, early = launch("cpu:0", "b", 2, 3), launch("cpu:1", "a", 1, 9)
    assert recorded(late, early).spans == [early, late]


def test_many_threads_add_at_the_same_time() -> None:
    t = Timeline()
    threads = [threading.Thread(target=lambda i=i: [t.add(launch(f"cpu:{i}", "k", n, n + 1)) for n in range(500)])
               for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(t.spans) == 4000
    assert {(s.device, s.begin) for s in t.spans} == {(f"cpu:{i}", n * MS) for i in range(8) for n in range(500)}


def test_now_counts_seconds_from_the_beginning() -> None:
    before = time.perf_counter()
    t = Timeline()
    time.sleep(0.02)
    assert 0.02 <= t.now() <= time.perf_counter() - before


def test_it_is_active_in_its_block_for_every_thread() -> None:
    seen = []
    assert active() is None
    with tc.timeline() as t:
        assert active() is t
        thread = threading.Thread(target=lambda: seen.append(active()))
        thread.start()
        thread.join()
    assert seen == [t] and active() is None


def test_one_inside_another_is_refused_and_the_outer_goes_on() -> None:
    with tc.timeline() as t:
        with pytest.raises(RuntimeError, match="another one is being recorded; leave its with block first"):
            with tc.timeline():
                pass
        assert active() is t
    assert active() is None


class _Busy:
    """A device that is late with a span."""

    def __init__(self, late: Span) -> None:
        self.late, self.synchronized = late, 0

    def synchronize(self) -> None:
        self.synchronized += 1
        if recording := active():  # what a device does until it has finished belongs to the timeline
            recording.add(self.late)


@pytest.fixture
def busy_devices(monkeypatch: pytest.MonkeyPatch) -> list[_Busy]:
    devices = [_Busy(launch("cpu:0", "late", 5, 6)), _Busy(launch("cpu:1", "early", 1, 2))]
    monkeypatch.setattr(sys.modules["tinyconv.device"], "known_devices", lambda: devices, raising=False)
    return devices


def test_leaving_waits_for_every_device(busy_devices: list[_Busy]) -> None:
    with tc.timeline() as t:
        assert [d.synchronized for d in busy_devices] == [1, 1] and not t.spans  # what was before is no part of it
    assert [d.synchronized for d in busy_devices] == [2, 2]
    assert [s.name for s in t.spans] == ["early", "late"]


def test_a_block_that_fails_tells_its_own_error_and_waits_for_nobody(busy_devices: list[_Busy]) -> None:
    with pytest.raises(ZeroDivisionError):
        with tc.timeline() as t:
            t.add(launch("cpu:0", "conv.forward", 1, 2))
            raise ZeroDivisionError
    assert active() is None and len(t.spans) == 1
    assert [d.synchronized for d in busy_devices] == [1, 1]


def test_a_device_that_fails_in_the_end_is_heard(busy_devices: list[_Busy], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("a kernel failed")

    with pytest.raises(ValueError, match="a kernel failed"):
        with tc.timeline() as t:
            monkeypatch.setattr(busy_devices[1], "synchronize", fail)
    assert active() is None and [s.name for s in t.spans] == ["late"]


def test_the_name_is_the_function_and_the_module_is_there_for_imports() -> None:
    assert inspect.isfunction(tc.timeline) and "timeline" in tc.__all__
    assert Span("cpu:0", "conv.backward_weight", "backward", 0, 1).folder == "conv"
    assert Span("cpu:0", "copy", "", 0, 1).folder == "copy"
    span = copy("cpu:0", "cpu:1", 1, 2, 3, 4)
    assert pickle.loads(pickle.dumps(span)) == span


# The phase of a launch

def test_a_launch_is_forward_while_a_graph_is_recorded() -> None:
    assert current_phase("conv.forward") == "forward"
    assert [current_phase(kernel) for kernel in ("update.sgd", "upload")] == ["", ""]
    with tc.no_grad():
        assert current_phase("conv.forward") == ""


def test_a_block_says_what_it_is_until_it_ends_or_fails() -> None:
    with phase("backward"):
        assert current_phase("conv.backward_weight") == current_phase("upload") == "backward"
        with phase(""):
            assert current_phase("elementwise.copy") == ""
        assert current_phase("elementwise.add") == "backward"
    with pytest.raises(ZeroDivisionError), phase("backward"):
        raise ZeroDivisionError
    assert current_phase("conv.forward") == "forward"


def test_the_phase_is_of_the_thread_that_launches() -> None:
    """The loader uploads the next batch while the program is in its backward pass."""
    seen = []
    with phase("backward"):
        thread = threading.Thread(target=lambda: seen.append((current_phase("upload"), current_phase("conv.forward"))))
        thread.start()
        thread.join()
    assert seen == [("", "forward")]


def test_another_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'forward', 'backward' or '', not 'sideways'"), phase("sideways"):
        pass


# Sums

def test_busy_and_idle_add_up(step: Timeline) -> None:
    assert step.busy() == pytest.approx({"cpu:0": 17 * MS, "cpu:1": 14 * MS})
    assert step.idle() == pytest.approx({"cpu:0": 3 * MS, "cpu:1": 6 * MS})  # of 20, though the clock says 30


def test_what_overlaps_counts_once() -> None:
    t = recorded(launch("cuda:0", "a", 0, 10), launch("cuda:0", "b", 2, 4), launch("cuda:0", "c", 8, 12),
                 launch("cuda:0", "d", 12, 13), launch("cuda:0", "e", 15, 16))
    assert t.busy() == pytest.approx({"cuda:0": 14 * MS})
    assert t.idle() == pytest.approx({"cuda:0": 2 * MS})


def test_a_device_that_only_sent_something_was_idle_all_the_time() -> None:
    t = recorded(copy("cpu:1", "cpu:0", 1, 2, 6, 5))
    assert t.busy() == pytest.approx({"cpu:0": 4 * MS, "cpu:1": 0})
    assert t.idle() == pytest.approx({"cpu:0": 0, "cpu:1": 4 * MS})


def test_sums_of_nothing() -> None:
    t = recorded()
    assert (t.busy(), t.idle(), t.exchanged(), t.extent()) == ({}, {}, {}, (0, 0))
    assert str(t) == "timeline: nothing was recorded"


def test_bytes_by_direction(step: Timeline) -> None:
    step.add(launch("cpu:0", "upload", 31, 32, "", nbytes=7_000))  # from the host, not from a device
    assert step.exchanged() == {("cpu:1", "cpu:0"): 4_000, ("cpu:0", "cpu:1"): 2_000}


def test_devices_are_in_the_order_of_their_numbers() -> None:
    names = ["cuda:10", "cpu:2", "cuda:9", "cpu", "cpu:10"]
    assert recorded(*(launch(n, "k", 0, 1) for n in names)).devices() == ["cpu", "cpu:2", "cpu:10", "cuda:9", "cuda:10"]


def test_the_table(step: Timeline) -> None:
    assert str(step).splitlines() == [
        "device  busy ms  idle ms    busy  launches  received",
        "----------------------------------------------------",
        "cpu:0     17.00     3.00  85.0 %         4    4.0 kB",
        "cpu:1     14.00     6.00  70.0 %         3    2.0 kB",
        "",
        "kernels   cpu:0   cpu:1",
        "-----------------------",
        "linear   47.1 %  57.1 %",
        "conv     17.6 %  35.7 %",
        "update   23.5 %   0.0 %",
        "copy     11.8 %   7.1 %",
    ]


@pytest.mark.parametrize("nbytes, text", [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_940, "999.9 kB"),
                                          (999_960, "1.0 MB"), (11_075_584, "11.1 MB"), (7.5e12, "7500.0 GB")])
def test_sizes_are_written_as_people_write_them(nbytes: float, text: str) -> None:
    assert size(nbytes) == text


# The Chrome trace

@pytest.fixture
def events(step: Timeline, tmp_path: Path) -> list[dict[str, Any]]:
    step.save(tmp_path / "step.json")
    return json.loads((tmp_path / "step.json").read_text())["traceEvents"]


def test_each_device_is_a_named_thread_of_one_process(events: list[dict[str, Any]]) -> None:
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    assert names == {0: "cpu:0", 1: "cpu:1"} and order == {0: 0, 1: 1}
    assert {e["pid"] for e in events} == {1}


def test_launches_are_complete_events_in_microseconds(events: list[dict[str, Any]]) -> None:
    launches = [e for e in events if e["ph"] == "X"]
    assert len(launches) == 10
    assert [e["ts"] for e in launches] == sorted(e["ts"] for e in launches)
    first = next(e for e in launches if e["name"] == "conv.forward" and e["tid"] == 0)
    assert (first["ts"], first["dur"], first["cat"]) == (10_000, 3_000, "forward")
    assert first["args"] == {"phase": "forward", "origin": "train.py:41 in main"}
    update = next(e for e in launches if e["name"] == "update.sgd")
    assert (update["ts"], update["dur"], update["cat"], update["args"]["phase"]) == (26_000, 4_000, "other", "")
    copies = [(e["tid"], e["ts"], e["args"]["source"], e["args"]["bytes"]) for e in launches if e["name"] == "copy"]
    assert sorted(copies) == [(0, 15_000, "cpu:1", 3_000), (0, 24_000, "cpu:1", 1_000), (1, 15_000, "cpu:0", 2_000)]


def test_copies_flow_from_the_launch_that_made_them_to_the_copy(events: list[dict[str, Any]]) -> None:
    """A viewer drops a flow whose end lies within no launch: the arrow leaves a nanosecond before its launch ends."""
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert len(starts) == len(ends) == 3 and starts.keys() == ends.keys()
    ways = sorted((s["tid"], s["ts"], ends[i]["tid"], ends[i]["ts"]) for i, s in starts.items())
    assert ways == [(0, 12_999.999, 1, 15_000), (1, 14_999.999, 0, 15_000), (1, 23_999.999, 0, 24_000)]
    assert all(e["bp"] == "e" for e in ends.values())
    launches = [e for e in events if e["ph"] == "X"]
    for end in (*starts.values(), *ends.values()):
        assert any(e["tid"] == end["tid"] and e["ts"] <= end["ts"] < e["ts"] + e["dur"] for e in launches), end
    assert {e["cat"] for e in (*starts.values(), *ends.values())} == {"copy"}


@pytest.mark.parametrize("sent, leaves", [
    (2.5, 2_500),  # within a launch
    (3.5, 2_999.999),  # between two: from the one before
    (0, 4_999.999),  # unknown: when it began, which is at 6 ms
])
def test_where_a_flow_leaves(sent: float, leaves: float, tmp_path: Path) -> None:
    recorded(launch("cpu:0", "conv.forward", 2, 3), launch("cpu:0", "relu.forward", 4, 5),
             copy("cpu:0", "cpu:1", sent, 6, 7, 1)).save(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert [e["ts"] for e in events if e["ph"] == "s"] == [leaves]


def test_a_flow_from_a_device_without_launches_leaves_when_it_was_sent(tmp_path: Path) -> None:
    recorded(copy("cpu:1", "cpu:0", 1, 2, 6, 5)).save(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert [(e["ph"], e["tid"], e["ts"]) for e in events if e["ph"] in "sf"] == [("s", 1, 1_000), ("f", 0, 2_000)]


# Saving

@pytest.mark.parametrize("name, begins", [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml"),
                                          ("a.JSON", b"{")])
def test_the_ending_says_what_is_written(step: Timeline, tmp_path: Path, name: str, begins: bytes) -> None:
    step.save(str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert [p.name for p in tmp_path.iterdir()] == [name], "no temporary file is left"


@pytest.mark.parametrize("name, ending", [("step.txt", "'.txt'"), ("step", "''")])
def test_another_ending_is_refused_by_name(step: Timeline, tmp_path: Path, name: str, ending: str) -> None:
    with pytest.raises(ValueError, match=rf"the ending must be \.json, \.png, \.pdf, \.svg, not {ending}"):
        step.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["step.json", "step.png"])
def test_a_folder_that_is_not_there_is_told(step: Timeline, tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        step.save(tmp_path / "none" / name)


def test_matplotlib_comes_with_the_first_picture(tmp_path: Path) -> None:
    program = """
import sys, tinyconv as tc
with tc.timeline() as t: pass
t.save(sys.argv[1] + "/t.json")
assert "matplotlib" not in sys.modules
t.save(sys.argv[1] + "/t.png")
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The picture

def bars(figure: Any) -> dict[str, list[tuple[float, float]]]:
    """Drawn rectangles (left, right in ms) by what they are: "conv 0" (lane 0), "idle 1", "phase forward 0"."""
    return {collection.get_gid(): [(path.vertices[:, 0].min(), path.vertices[:, 0].max())
                                   for path in collection.get_paths()] for collection in figure.axes[0].collections}


def colours(timeline: Timeline) -> dict[str, tuple[float, ...]]:
    return {c.get_gid(): tuple(c.get_facecolor()[0]) for c in draw(timeline).axes[0].collections if len(c.get_paths())}


def approximately(*ranges: tuple[float, float]) -> list[Any]:
    return [pytest.approx(r, abs=1e-6) for r in ranges]


def test_a_rectangle_for_each_launch_in_ms_since_the_first(step: Timeline) -> None:
    drawn = bars(draw(step))
    assert drawn["conv 0"] == approximately((0, 3)) and drawn["conv 1"] == approximately((0, 5))
    assert drawn["linear 0"] == approximately((6, 8), (8, 14)) and drawn["linear 1"] == approximately((6, 7), (7, 14))
    assert drawn["copy 0"] == approximately((5, 6), (14, 15)) and drawn["copy 1"] == approximately((5, 6))
    assert drawn["update 0"] == approximately((16, 20)) and "update 1" not in drawn


def test_all_of_a_device_is_on_its_lane(step: Timeline) -> None:
    for collection in draw(step).axes[0].collections:
        lane = int(collection.get_gid().split()[-1])
        for path in collection.get_paths():
            assert lane - 0.3 < path.vertices[:, 1].min() < path.vertices[:, 1].max() < lane + 0.4, collection.get_gid()


def test_idle_time_is_shaded_between_before_and_after(step: Timeline) -> None:
    drawn = bars(draw(step))
    assert drawn["idle 0"] == approximately((3, 5), (15, 16))
    assert drawn["idle 1"] == approximately((14, 20))
    hatched = {c.get_gid() for c in draw(step).axes[0].collections if c.get_hatch()}
    assert hatched == {"idle 0", "idle 1"}


def test_forward_and_backward_are_told_apart_under_each_lane(step: Timeline) -> None:
    drawn = bars(draw(step))
    assert drawn["phase forward 0"] == approximately((0, 8)) and drawn["phase forward 1"] == approximately((0, 7))
    assert drawn["phase backward 0"] == approximately((8, 15)) and drawn["phase backward 1"] == approximately((7, 14))
    assert drawn["phase neither 0"] == approximately((16, 20))
    written = [text.get_text() for text in draw(step).axes[0].texts]
    assert written.count("forward") == 2 and written.count("backward") == 2


def test_each_kernel_has_its_colour_on_every_lane(step: Timeline) -> None:
    drawn = colours(step)
    assert drawn["conv 0"] == drawn["conv 1"] and drawn["linear 0"] == drawn["linear 1"]
    of_one_lane = [drawn[name] for name in ("conv 0", "linear 0", "copy 0", "update 0", "idle 0", "phase forward 0",
                                            "phase backward 0", "phase neither 0")]
    assert len(set(of_one_lane)) == len(of_one_lane)
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert {p.parent.name for p in Path(tc.__file__).parents[1].glob("kernels/*/reference.py")} <= set(COLOURS)


def test_phases_and_arrows_differ_in_brightness_too() -> None:
    """So that a print without colours tells them apart."""
    def brightness(colour: str) -> float:
        return sum(weight * int(colour[i:i + 2], 16) for weight, i in ((0.299, 1), (0.587, 3), (0.114, 5)))

    assert abs(brightness(PHASES["forward"]) - brightness(PHASES["backward"])) > 80


def arrows_of(figure: Any) -> list[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """The drawn ones, as ("copy <source lane> <target lane>", tail, head), sorted; points are (ms, lane)."""
    return sorted((arrow.get_gid(), *arrow._posA_posB) for arrow in figure.axes[0].patches)


def test_copies_are_arrows_from_when_they_were_sent_to_when_they_began(step: Timeline) -> None:
    down, *up = arrows_of(draw(step))
    assert down[0] == "copy 0 1" and [a[0] for a in up] == ["copy 1 0", "copy 1 0"]
    assert [t for t, _ in down[1:]] == pytest.approx([3, 5])
    assert [[t for t, _ in a[1:]] for a in up] == [pytest.approx([5, 5]), pytest.approx([14, 14])]
    assert 0 < down[1][1] < down[2][1] < 1, "it runs in the gap between the lanes"
    assert all(0 < head[1] < tail[1] < 1 for _, tail, head in up)
    written = {t.get_text() for t in draw(step).axes[0].texts if t.get_gid() == "bytes"}
    assert written == {"3.0 kB", "2.0 kB", "1.0 kB"}


def test_a_copy_sent_at_an_unknown_time_comes_straight_down() -> None:
    t = recorded(copy("cpu:0", "cpu:1", 0, 5, 7, 1), launch("cpu:0", "conv.forward", 1, 2))
    ((_, tail, head),) = arrows_of(draw(t))
    assert tail[0] == head[0] == pytest.approx(4)


def test_labels_of_lanes_title_and_legends(step: Timeline) -> None:
    figure = draw(step)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cpu:0\nidle 15 %", "cpu:1\nidle 30 %"]
    bottom, top = axes.get_ylim()
    assert top < 0 and bottom > 1, "cpu:0 is on top"
    assert axes.get_title(loc="left") == "20 ms: cpu:0 busy 85 %, cpu:1 busy 70 %"
    kernels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert kernels == ["linear 51.6 %", "conv 25.8 %", "update 12.9 %", "copy 9.7 %"]
    marks = [t.get_text() for t in axes.get_legend().get_texts()]
    assert marks == ["forward", "backward", "neither", "idle", "copies, 2.0 kB", "copies, 4.0 kB"]


def test_names_are_written_where_they_fit() -> None:
    t = recorded(launch("cpu:0", "conv.forward", 0, 80), launch("cpu:0", "linear.forward", 80, 82),
                 launch("cpu:0", "lrn_max_pool.forward", 82, 85), launch("cpu:0", "relu.forward", 85, 85.1),
                 launch("cpu:0", "conv.backward_weight", 85.1, 91.1), launch("cpu:0", "pool.max_forward", 91.1, 100))
    written = {text.get_text(): text.get_rotation() for text in draw(t).axes[0].texts}
    written.pop("forward")
    assert written == {"conv.forward": 0, "linear": 90, "lrn_max_pool": 90, "conv\nbackward\nweight": 0,
                       "pool\nmax_forward": 0}


@pytest.fixture(scope="module")
def crowd() -> Timeline:
    """5,000 launches and 1,000 copies on three lanes; most are narrower than a pixel, a third of the time is idle."""
    t = Timeline()
    for i in range(5_000):
        device, kernel = i % 3, ("conv.forward", "relu.forward", "pool.max_forward", "lrn.backward")[i % 4]
        t.add(launch(f"cpu:{device}", kernel, i, i + 2, "forward" if i % 1_000 < 400 else "backward"))
        if i % 5 == 0:
            t.add(copy(f"cpu:{device}", f"cpu:{(device + 1) % 3}", i + 2, i + 2.5, i + 2.7, 1_000_000))
    t.close()
    return t


@pytest.fixture(scope="module")
def crowded(crowd: Timeline) -> Any:
    return draw(crowd)


def test_what_is_narrower_than_a_pixel_is_put_together(crowd: Timeline, crowded: Any) -> None:
    drawn = bars(crowded)
    for lane in range(3):
        rectangles = sorted(r for gid, rs in drawn.items() if gid.endswith(f" {lane}") and gid.split()[0] in COLOURS
                            for r in rs)
        assert 300 < len(rectangles) < 2 * 1_500
        covered = sum(right - left for left, right in rectangles)
        assert 0.6 * 5_000 < covered <= 5_002
    assert 300 < len(arrows_of(crowded)) <= 501
    assert sum(a.nbytes for a in arrows(crowd.spans, 20 * MS)) == 1_000 * 1_000_000
    assert sum(a.copies for a in arrows(crowd.spans, 20 * MS)) == 1_000


def test_a_block_takes_the_colour_of_what_took_longest_and_keeps_launches_that_can_be_seen_apart() -> None:
    wide = [launch("cpu:0", "conv.forward", 0, 10), launch("cpu:0", "conv.forward", 10, 20)]
    narrow = [launch("cpu:0", "relu.forward", 20, 20.2), launch("cpu:0", "pool.max_forward", 20.2, 20.7),
              launch("cpu:0", "relu.forward", 20.7, 20.9)]
    far = [launch("cpu:0", "relu.forward", 30, 30.1)]
    found = blocks([*wide, *narrow, *far], 1 * MS)
    assert [(b.folder, b.name, len(b.spans)) for b in found] == [
        ("conv", "conv.forward", 1), ("conv", "conv.forward", 1), ("pool", "", 3), ("relu", "relu.forward", 1)]
    assert [(b.begin, b.end) for b in found] == [pytest.approx((a * MS, b * MS)) for a, b in
                                                 ((0, 10), (10, 20), (20, 20.9), (30, 30.1))]
    many = blocks([launch("cpu:0", "update.sgd", i, i + 1) for i in range(10)], 2 * MS)
    assert [(b.name, len(b.spans)) for b in many] == [("update", 10)]


def test_copies_that_lie_together_are_one_arrow_that_says_how_many() -> None:
    t = recorded(launch("cpu:0", "conv.forward", 0, 1000), *(copy("cpu:0", "cpu:1", 500 + i, 501 + i, 502 + i, 2_000)
                                                             for i in (0, 1, 2)),
                 copy("cpu:1", "cpu:0", 500, 501, 502, 7), copy("cpu:0", "cpu:1", 100, 501, 502, 9))
    figure = draw(t)
    assert [(way, round(tail[0])) for way, tail, _ in arrows_of(figure)] == [
        ("copy 0 1", 100), ("copy 0 1", 500), ("copy 1 0", 500)]
    assert "3 × 2.0 kB" in [text.get_text() for text in figure.axes[0].texts]


def test_labels_of_arrows_do_not_cover_each_other(crowded: Any) -> None:
    crowded.draw_without_rendering()
    boxes = [t.get_window_extent() for t in crowded.axes[0].texts if t.get_gid() == "bytes"]
    assert len(boxes) > 10
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_lanes_keep_their_height_and_the_title_its_place(lanes: int) -> None:
    figure = draw(recorded(*(launch(f"cpu:{i}", "conv.forward", i, i + 2) for i in range(lanes))))
    figure.draw_without_rendering()
    width = figure.get_size_inches()[0] * 125
    assert width == 1600
    axes = figure.axes[0]
    corners = [axes.transData.transform(c.get_paths()[0].vertices) for c in axes.collections
               if c.get_gid().startswith("conv")]
    heights = [(c[:, 1].max() - c[:, 1].min()) / figure.dpi for c in corners]  # inches
    assert len(heights) == lanes and all(0.7 < h < 1.0 for h in heights), heights
    assert axes.title.get_window_extent().x1 <= figure.bbox.x1


def test_pictures_of_nothing_and_of_an_instant() -> None:
    assert [t.get_text() for t in draw(recorded()).axes[0].texts] == ["nothing was recorded"]
    instant = draw(recorded(launch("cpu:0", "conv.forward", 5, 5))).axes[0]
    assert instant.get_title(loc="left") == "0 ms: cpu:0 busy -"
    assert all(map(math.isfinite, instant.get_xlim()))


def test_shares_are_by_time_the_largest_first(step: Timeline) -> None:
    assert list(by_folder(step.spans).items()) == [("linear", pytest.approx(16 * MS)), ("conv", pytest.approx(8 * MS)),
                                                   ("update", pytest.approx(4 * MS)), ("copy", pytest.approx(3 * MS))]
