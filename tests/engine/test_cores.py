"""cpu:0, cpu:1: the cores shared out, each share with a queue.

What a device computes is tested where all are (``conftest.py`` here adds ``cpu:1`` to the devices); this is about
when."""

import copy
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import worker

from ..witness import normal

device_module = sys.modules["tinyconv.device"]  # tinyconv.device is the function
COUNT = 5000  # floats: more than the pool leaves to malloc


class Gate:
    """Holds up the queue that first launches a kernel with it on its list."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.names: list[str] = []
        find = device_module.find_kernel

        def gated(kernel: str, kind: str) -> Any:
            self.names.append(kernel)
            if kernel == "elementwise.exp":
                self.reached.set()
                assert self.opened.wait(30)
            return find(kernel, kind)

        monkeypatch.setattr(device_module, "find_kernel", gated)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The next exp() on a share of the cores does not end before ``gate.opened`` is set."""
    result = Gate(monkeypatch)
    yield result
    result.opened.set()


@pytest.fixture(autouse=True)
def _two_shares() -> None:
    tc.devices("cpu", 2)


def _held_up(device: str, gate: Gate) -> tc.Tensor:
    y = F.exp(tc.tensor(np.zeros(COUNT), device))
    assert gate.reached.wait(30)
    return y


class TestNames:
    def test_sharing_out(self) -> None:
        assert tc.devices("cpu", 2) == ["cpu:0", "cpu:1"]
        most = numba.config.NUMBA_NUM_THREADS
        assert sum(tc.device(f"cpu:{i}").threads for i in (0, 1)) == max(most, 2)
        assert {"cpu", "cpu:0", "cpu:1", "reference"} <= set(tc.devices())
        assert tc.devices("cpu") == ["cpu", "cpu:0", "cpu:1"]
        assert tc.device("cpu:1") is tc.device("cpu:1") is not tc.device("cpu:0")

    def test_sharing_out_anew(self) -> None:
        second = tc.device("cpu:1")
        kept = tc.tensor([1.0, 2.0], second)
        assert tc.devices("cpu", 3) == ["cpu:0", "cpu:1", "cpu:2"]
        assert tc.device("cpu:2").threads == max(1, numba.config.NUMBA_NUM_THREADS // 3)
        assert tc.devices("cpu", 1) == ["cpu:0"]
        assert tc.device("cpu:0").threads == numba.config.NUMBA_NUM_THREADS
        with pytest.raises(ValueError, match=r"no device 'cpu:1' here, only cpu:0; .*devices\('cpu', n\) shares"):
            tc.device("cpu:1")
        np.testing.assert_array_equal((kept + kept).numpy(), [2, 4])  # who has it may go on
        assert copy.deepcopy(kept).device is pickle.loads(pickle.dumps(kept)).device is second
        with tc.timeline() as timeline:
            F.exp(kept)
        assert [(s.device, s.name) for s in timeline.spans] == [("cpu:1", "elementwise.exp")]

    @pytest.mark.parametrize("arguments, message", [
        (("gpu",), "kind must be one of cpu, cuda, reference, not 'gpu'"), (("cpu", 0), "at least 1.*not 0"),
        (("cpu", 257), "n must be from 1 to 256, not 257"), (("cpu", 2.0), "not 2.0"), (("cpu", True), "not True"),
        ((None, 2), "and of a kind"),
        (("reference", 2), "there are 1 devices of kind 'reference', not 2")])
    def test_what_cannot_be(self, arguments: tuple[Any, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tc.devices(*arguments)
        for name in ("cpu:", "cpu:-1", "cpu:x", "reference:0"):
            with pytest.raises(ValueError, match="there is no device"):
                tc.device(name)

    def test_naming_one_first(self) -> None:
        done = _run("print(tc.device('cpu:1').threads, tc.devices('cpu'))")
        assert done.stdout.split(maxsplit=1) == [str(max(1, numba.config.NUMBA_NUM_THREADS // 2)),
                                                 "['cpu', 'cpu:0', 'cpu:1']\n"]

    def test_threads_that_cannot_serve_two(self) -> None:
        done = _run("tc.device('cpu:0')", NUMBA_THREADING_LAYER="workqueue")
        assert done.returncode == 1 and re.search(r"RuntimeError: device: .*pip install tbb", done.stderr)


class TestQueue:
    def test_a_launch_returns_before_it_has_run(self, gate: Gate) -> None:
        y = F.relu(_held_up("cpu:0", gate) * 2.0)
        assert "relu.forward" not in gate.names
        gate.opened.set()
        np.testing.assert_array_equal(y.numpy(), np.full(COUNT, 2))
        assert gate.names[-1] == "relu.forward"

    def test_another_queue_does_not_wait(self, gate: Gate) -> None:
        held = _held_up("cpu:0", gate)
        np.testing.assert_array_equal((tc.tensor(normal(1, COUNT), "cpu:1") * 0.0).numpy(), np.zeros(COUNT))
        assert not gate.opened.is_set()
        gate.opened.set()
        np.testing.assert_array_equal(held.to("cpu:1").numpy(), np.ones(COUNT))

    def test_a_copy_waits_for_its_source(self, gate: Gate) -> None:
        there = (_held_up("cpu:0", gate) * 3.0).to("cpu:1") + 1.0
        gate.opened.set()
        np.testing.assert_array_equal(there.numpy(), np.full(COUNT, 4))

    def test_threads_of_a_launch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen, find, before = [], device_module.find_kernel, numba.get_num_threads()

        def watched(*arguments: Any) -> Any:
            seen.append((threading.current_thread().name, numba.get_num_threads()))
            return find(*arguments)

        monkeypatch.setattr(device_module, "find_kernel", watched)
        (tc.tensor(np.zeros(3), "cpu:1") + 1.0).numpy()
        assert set(seen) == {("tinyconv cpu:1", tc.device("cpu:1").threads)}
        assert numba.get_num_threads() == before  # of the program

    def test_how_far_ahead_the_program_may_run(self, gate: Gate) -> None:
        """The launch that is too many waits until there are fewer."""
        x = _held_up("cpu:0", gate)
        timer = threading.Timer(0.5, gate.opened.set)
        timer.start()
        launches = 0
        while not gate.opened.is_set():
            x.device.launch("elementwise.add", x.data, x.data, x.data)
            launches += 1
        timer.join()
        assert worker.STRETCH * (worker.STRETCHES - 1) < launches <= worker.STRETCH * (worker.STRETCHES + 2)


class TestMemory:
    def test_an_upload_is_a_copy(self, gate: Gate) -> None:
        _held_up("cpu:0", gate)
        source = np.arange(COUNT, dtype=np.float32)
        x = tc.tensor(source, "cpu:0")
        source[:] = -1
        gate.opened.set()
        np.testing.assert_array_equal(x.numpy(), np.arange(COUNT))

    def test_staging_memory_is_read_where_it_lies_and_not_lent_again_before(self, gate: Gate) -> None:
        device = tc.device("cpu:0")
        held = _held_up("cpu:0", gate)
        uploaded, places = [], set()
        for i in range(4):
            batch = device.staging((COUNT,))
            places.add(batch.ctypes.data)
            batch[:] = i
            uploaded.append(device.upload(batch))
            del batch
        assert len(places) == 4
        gate.opened.set()
        assert [device.download(a).tolist() for a in uploaded] == [[i] * COUNT for i in range(4)]
        assert device.staging((COUNT,)).ctypes.data in places
        del held

    def test_memory_is_reused_in_the_order_of_the_queue(self, gate: Gate) -> None:
        """A chain of tensors that the program lets go takes the memory of a few, though none has been computed."""
        x = _held_up("cpu:0", gate)
        x.device.pool.release()  # blocks that wait from before would be taken in turn
        addresses = set()
        for _ in range(20):
            x = x + 1.0
            addresses.add(x.data.ctypes.data)
        assert len(addresses) <= 3
        gate.opened.set()
        np.testing.assert_array_equal(x.numpy(), np.full(COUNT, 21))

    def test_what_another_queue_reads_is_not_lent_again(self, gate: Gate) -> None:
        source = tc.tensor(np.full(COUNT, 7), "cpu:1", dtype="float32")
        address = source.data.ctypes.data
        held = _held_up("cpu:0", gate)
        there = source.to("cpu:0")  # in the queue of cpu:0, behind what is held up
        del source
        others = [tc.tensor(np.zeros(COUNT), "cpu:1") for _ in range(4)]
        tc.device("cpu:1").synchronize()
        assert address not in {x.data.ctypes.data for x in others}
        gate.opened.set()
        np.testing.assert_array_equal(there.numpy(), np.full(COUNT, 7))
        del held

    def test_what_another_queue_reads_does_not_change_before(self, gate: Gate) -> None:
        source = tc.tensor(np.full(COUNT, 7), "cpu:1", dtype="float32")
        held = _held_up("cpu:0", gate)
        there = source.to("cpu:0")
        source.copy_(np.zeros(COUNT))
        assert not tc.device("cpu:1").mark().done
        gate.opened.set()
        np.testing.assert_array_equal(there.numpy(), np.full(COUNT, 7))
        np.testing.assert_array_equal(source.numpy(), np.zeros(COUNT))
        del held

    def test_who_only_reads_it_does_not_wait(self, gate: Gate) -> None:
        """Nor does it hear of what goes wrong where it is copied to."""
        source = tc.tensor(np.full(COUNT, 7), "cpu:1", dtype="float32")
        held = _held_up("cpu:0", gate)
        there = source.to("cpu:0")
        np.testing.assert_array_equal(F.relu(source).numpy(), np.full(COUNT, 7))
        assert not gate.opened.is_set()
        gate.opened.set()
        del held, there

    def test_large_uploads_are_not_far_ahead(self, gate: Gate) -> None:
        """Of 4 MiB each: the program waits before the fifth."""
        held = _held_up("cpu:0", gate)
        threading.Timer(0.5, gate.opened.set).start()
        uploads = 0
        while not gate.opened.is_set():
            tc.tensor(np.zeros(1 << 20), "cpu:0")
            uploads += 1
        assert uploads <= 4
        del held

    def test_copies_and_pickles(self, gate: Gate) -> None:
        y = _held_up("cpu:0", gate) + 1.0
        threading.Timer(0.2, gate.opened.set).start()
        for other in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
            assert other.device is y.device
            np.testing.assert_array_equal(other.numpy(), np.full(COUNT, 2))

    def test_other_libraries_see_what_is_computed(self, gate: Gate) -> None:
        y = _held_up("cpu:0", gate) + 1.0
        threading.Timer(0.2, gate.opened.set).start()
        seen = np.from_dlpack(y)
        np.testing.assert_array_equal(seen, np.full(COUNT, 2))
        address = seen.ctypes.data
        del y
        assert tc.tensor(np.zeros(COUNT), "cpu:0").data.ctypes.data != address  # an exported view holds its block

    def test_a_training_step_asks_for_no_memory(self) -> None:
        device = tc.device("cpu:0")
        model = tc.nn.Sequential(tc.nn.Conv2d(3, 16, 3, device=device), tc.nn.ReLU(), tc.nn.Flatten(),
                                 tc.nn.Linear(16 * 14 * 14, 10, device=device))
        optimizer = tc.optim.SGD(model.parameters(), 0.01)
        peaks = []
        for _ in range(4):
            model.zero_grad()
            F.cross_entropy(model(tc.tensor(normal(1, 8, 3, 16, 16), device)), np.arange(8)).backward()
            optimizer.step()
            device.synchronize()
            peaks.append(device.pool.lent + device.pool.shelved)
        assert peaks[1] == peaks[2] == peaks[3]


class TestErrors:
    def _fail(self, device: str) -> tc.Tensor:
        x = tc.tensor(np.zeros(COUNT), device)
        x.device.launch("relu.forward", x.data, np.zeros((2, 3), np.float32)[:, ::2])  # this is where it fails
        return x

    def test_it_surfaces_at_synchronisation_with_name_and_origin(self) -> None:
        x = self._fail("cpu:1")
        with pytest.raises(ValueError, match=r"^relu.forward on cpu:1, launched at test_cores.py:\d+ in _fail: "):
            x.numpy()
        np.testing.assert_array_equal((x + 1.0).numpy(), np.ones(COUNT))  # it was told; life goes on

    def test_the_line_of_the_user(self) -> None:
        x = tc.tensor(normal(1, COUNT), "cpu:0", requires_grad=True)
        y = F.exp(x).sum()
        line = sys._getframe().f_lineno + 1
        y.backward(gradient=None)
        assert x.grad is not None
        x.device.launch("elementwise.mul", x.data, np.zeros(3), x.data)
        with pytest.raises(ValueError, match=f"elementwise.mul on cpu:0, launched at test_cores.py:{line + 2} in"):
            x.device.synchronize()

    def test_what_follows_is_skipped(self, gate: Gate) -> None:
        gate.opened.set()
        x = self._fail("cpu:1")
        F.relu(F.exp(x))
        with pytest.raises(ValueError, match=r"^relu.forward"):
            x.device.synchronize()
        assert gate.names.count("relu.forward") == 1 and "elementwise.exp" not in gate.names

    def test_who_waits_for_it_hears_of_it_and_it_is_told_once(self) -> None:
        there = self._fail("cpu:1").to("cpu:0") + 1.0
        with pytest.raises(ValueError, match=r"^relu.forward on cpu:1"):
            there.numpy()
        for name in ("cpu:0", "cpu:1"):
            tc.device(name).synchronize()

    def test_it_fails_nobody_who_does_not_depend_on_it(self, gate: Gate) -> None:
        """cpu:1 fails before it reads what cpu:0 then changes."""
        source = tc.tensor(np.full(COUNT, 7), "cpu:0", dtype="float32")
        held = _held_up("cpu:1", gate)
        self._fail("cpu:1")
        there = source.to("cpu:1")
        source.copy_(np.zeros(COUNT))
        gate.opened.set()
        np.testing.assert_array_equal(source.numpy(), np.zeros(COUNT))
        with pytest.raises(ValueError, match=r"^relu.forward on cpu:1"):
            there.numpy()
        del held

    def test_every_thread_hears_of_what_was_skipped_for_it(self, gate: Gate) -> None:
        """Two threads of the program launch on one device.  The one is told, and goes on; the other, whose launch was
        skipped because of it, must not get numbers that were never computed."""
        x = tc.tensor(np.zeros(COUNT), "cpu:0")
        held = _held_up("cpu:0", gate)
        self._fail("cpu:0")
        heard: list[str] = []

        def other() -> None:
            y = x + 1.0
            launched.set()
            assert told.wait(30)
            try:
                y.numpy()
            except ValueError as error:
                heard.append(str(error))
            heard.append(str((x + 2.0).numpy()[0]))

        launched, told = threading.Event(), threading.Event()
        thread = threading.Thread(target=other)
        thread.start()
        assert launched.wait(30)
        gate.opened.set()
        with pytest.raises(ValueError, match=r"^relu.forward"):
            x.device.synchronize()
        told.set()
        thread.join()
        assert heard[0].startswith("relu.forward on cpu:0") and heard[1:] == ["2.0"]
        del held

    @pytest.mark.parametrize("error, kind, message", [
        (MemoryError(), MemoryError, "MemoryError"), (MemoryError((3, 4), "f4"), MemoryError, r"\(\(3, 4\), 'f4'\)"),
        (KeyError(3), RuntimeError, "3"), (OSError("full"), OSError, "full")])
    def test_errors_without_a_message(self, error: Exception, kind: type, message: str,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> Any:
            raise error

        x = tc.tensor(np.zeros(COUNT), "cpu:0")
        x.device.synchronize()
        monkeypatch.setattr(device_module, "find_kernel", fail)
        F.exp(x)
        with pytest.raises(kind, match=f"^elementwise.exp on cpu:0, launched at test_cores.py:.* in .*: {message}$"):
            x.device.synchronize()

    def test_a_thread_that_cannot_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = worker.Worker("a device that nobody has used")

        def fail(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                fresh.submit(lambda: None)
        done: list[int] = []
        fresh.submit(lambda: done.append(1))
        fresh.wait()
        assert done == [1]

    def test_what_was_told_is_let_go(self) -> None:
        """Without the help of the garbage collector: a traceback is often part of a cycle."""
        device = tc.device("cpu:0")
        device.synchronize()
        gc.collect()
        before = device.pool.lent
        gc.disable()
        try:
            x = self._fail("cpu:0")
            with pytest.raises(ValueError):
                x.device.synchronize()
            del x
            assert device.pool.lent == before
        finally:
            gc.enable()

    def test_two_errors_are_told_one_by_one(self) -> None:
        self._fail("cpu:0"), self._fail("cpu:1")
        for name in ("cpu:0", "cpu:1"):
            with pytest.raises(ValueError, match=f"on {name}"):
                tc.device(name).synchronize()
            tc.device(name).synchronize()

    def test_blocking(self) -> None:
        done = _run("""
import threading
x = tc.tensor(np.zeros(3), "cpu:1")
assert not [t for t in threading.enumerate() if "tinyconv" in t.name]
np.testing.assert_array_equal(((x + 1.0).to("cpu:0") * 2.0).to("cpu:1").numpy(), [2, 2, 2])
x.device.launch("elementwise.mul", x.data, np.zeros(2), x.data)""", TINYCONV_BLOCKING="1")
        assert re.search(r"ValueError: elementwise.mul on cpu:1: ", done.stderr)
        assert "line 7, in <module>" in done.stderr


class TestTheEnd:
    """Each program ends by itself, quickly: ``_run`` gives it a minute, of which starting takes a few seconds."""

    BUSY = """
x = tc.tensor(np.ones((64, 96, 27, 27)), "cpu:0")
w = tc.tensor(np.ones((256, 96, 5, 5)), "cpu:0")
F.conv2d(x, w, padding=2).numpy()
begin = time.perf_counter()
F.conv2d(x, w, padding=2).numpy()
once = time.perf_counter() - begin
for _ in range(100):  # fewer than the program may be ahead, or it would wait here
    y = F.conv2d(x, w, padding=2)
z = y.to("cpu:1")
"""

    def test_with_a_full_queue(self) -> None:
        done = _run(self.BUSY + "import atexit; atexit.register(lambda: print(time.time()), )")
        assert done.returncode == 0 and not done.stderr
        assert time.time() - float(done.stdout) < 15

    def test_after_an_exception(self) -> None:
        done = _run(self.BUSY + "raise KeyError('mine')")
        assert done.returncode == 1 and done.stderr.endswith("KeyError: 'mine'\n") and "tinyconv" not in done.stderr

    def test_after_an_error_in_the_queue_that_nobody_heard_of(self) -> None:
        """Better late, on stderr, than never."""
        done = _run("""
x = tc.tensor(np.ones(5000), "cpu:0")
x.device.launch("elementwise.mul", x.data, np.zeros(2), x.data)
y = (x + 1.0).to("cpu:1")
while tc.device("cpu:1")._worker._failure is None:
    time.sleep(0.01)""")
        assert done.returncode == 0
        assert re.fullmatch(r"tinyconv: nobody waited .*: ValueError: elementwise.mul on cpu:0, launched at "
                            r"<string>:4 in <module>: operands .*\n", done.stderr)

    def test_ctrl_c(self) -> None:
        program = subprocess.Popen([sys.executable, "-c", PREAMBLE + self.BUSY + "print('go', flush=True)\nz.numpy()"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_sigint)
        assert program.stdout is not None and program.stdout.readline() == "go\n"
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=30)
        assert errors.rstrip().endswith("KeyboardInterrupt") and program.returncode == -signal.SIGINT

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_fork(self) -> None:
        """The child is told, and ends; the parent goes on."""
        done = _run("""
import os, warnings
warnings.simplefilter("ignore")
x = tc.tensor(np.ones(5000), "cpu:0")
y = x
for _ in range(100):
    y = y + 1.0
child = os.fork()
if child == 0:
    try:
        y.numpy()
    except RuntimeError as error:
        print("child:", error, flush=True)
    sys.exit(3)
assert os.waitpid(child, 0)[1] >> 8 == 3
print("parent:", y.numpy()[0])""")
        assert done.stdout.splitlines() == [
            "child: cpu:0: this process was forked from one that used it; start processes by spawn or forkserver",
            "parent: 101.0"], done.stderr


PREAMBLE = "import sys, time, numpy as np, tinyconv as tc, tinyconv.functional as F\n"


def _hear_sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored


def _run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})


def test_ctrl_c_as_the_worker_begins_makes_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    start, done = threading.Thread.start, []
    monkeypatch.setattr(worker, "_workers", [])
    tried = worker.Worker("tried")

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tried.submit(lambda: done.append(-1))
    first = tried._thread
    for i in range(50):
        tried.submit(lambda i=i: done.append(i))  # type: ignore[misc]
    tried.wait()
    assert tried._thread is first and done == list(range(50))
    tried.stop()
