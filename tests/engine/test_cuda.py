"""The GPU as a device: its queue, copies to and from it and between two, and what is said where there is none.

The kernels themselves are tested where all kernels are: most tests run once more on ``cuda:0``."""

import copy
import gc
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import cuda

from ..conftest import CUDA, WHY_NO_CUDA, needs_cuda, needs_two_gpus
from ..witness import normal

emulated = [*needs_cuda, pytest.mark.skipif(WHY_NO_CUDA is not None or not cuda.is_emulated(),
                                            reason="on a real GPU nothing is emulated")]


def _run(program: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    wanted = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120,
                          env={name: value for name, value in wanted.items() if value is not None})


class TestQueue:
    pytestmark = needs_cuda

    def test_what_goes_up_comes_down(self) -> None:
        device = tc.device("cuda:0")
        for dtype in (np.float32, np.float64, np.int64):
            for array in (np.arange(24).reshape(2, 3, 4), np.array(7), np.zeros((0, 3)), np.arange(24)[::-2]):
                np.testing.assert_array_equal(device.download(device.upload(array.astype(dtype))), array.astype(dtype))

    def test_an_upload_is_a_copy(self) -> None:
        source = np.arange(5000, dtype=np.float32)
        x = tc.tensor(source, "cuda:0")
        source[:] = -1
        np.testing.assert_array_equal(x.numpy(), np.arange(5000))

    def test_staging_memory_is_not_lent_again_before_it_was_read(self) -> None:
        device = tc.device("cuda:0")
        uploaded = []
        for i in range(8):
            batch = device.staging((3000,))
            batch[:] = i
            uploaded.append(device.upload(batch))
            del batch
        assert [device.download(a).tolist() for a in uploaded] == [[i] * 3000 for i in range(8)]

    def test_a_batch_in_pinned_memory_is_uploaded_as_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the loader makes it: pixel by pixel, seen as channels; a copy on the host would no longer be pinned."""
        device = tc.device("cuda:0")
        monkeypatch.setattr(device, "_let_go", lambda: None)  # a GPU may have read it before we look
        batch = device.staging((4, 32, 32, 3))
        batch[...] = normal(1, *batch.shape)
        there = device.upload(batch.transpose(0, 3, 1, 2))
        assert np.shares_memory(device._in_flight[-1][1], batch)
        assert there.flags.c_contiguous and there.shape == (4, 3, 32, 32)
        np.testing.assert_array_equal(device.download(there), batch.transpose(0, 3, 1, 2))

    def test_copies_and_pickles_stay_on_the_device(self) -> None:
        x = tc.tensor(normal(1, 3, 4), "cuda:0") * 2.0
        for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x.detach()))):
            assert other.device is x.device and not x.device.shares_memory(other.data, x.data)
            np.testing.assert_array_equal(other.numpy(), x.numpy())
        layer = tc.nn.Linear(300, 200, device="cuda:0")
        for stream in (cuda.backend().cuda.Stream.null, cuda.backend().cuda.Stream(non_blocking=True)):
            with stream:  # where CuPy would make the copies
                twins = [copy.deepcopy(layer) for _ in range(10)]
            for twin in twins:
                np.testing.assert_array_equal(twin.weight.numpy(), layer.weight.numpy())

    def test_views_come_down_in_logical_order(self) -> None:
        values = normal(1, 2, 3, 4, 5).astype(np.float32)
        x = tc.tensor(values, "cuda:0")
        np.testing.assert_array_equal(x.permute(3, 0, 2, 1).numpy(), values.transpose(3, 0, 2, 1))
        np.testing.assert_array_equal(x[1, :, ::-2].numpy(), values[1, :, ::-2])

    def test_arrays_that_overlap_are_known(self) -> None:
        device = tc.device("cuda:0")
        a, b = device.empty((4, 6)), device.empty((4, 6))
        assert device.shares_memory(a, a[1:, 2:4]) and device.shares_memory(a[::-1], a[:1])
        assert not device.shares_memory(a, b) and not device.shares_memory(a[:2], a[2:])
        assert not device.shares_memory(a, a[:0])

    def test_launches_run_in_order(self) -> None:
        x = tc.tensor(np.ones((1000,)), "cuda:0")
        y = x
        for _ in range(20):
            y = y * 2.0 - x
        assert y.numpy().tolist() == [1.0] * 1000

    def test_a_tensor_shows_the_array_interface_of_cuda(self) -> None:
        x = tc.tensor(normal(1, 3, 4), "cuda:0")
        shown = x.__cuda_array_interface__
        assert shown["shape"] == (3, 4) and shown["typestr"] == "<f4" and shown["data"][0] == x.data.data.ptr
        assert not hasattr(tc.tensor([1.0]), "__cuda_array_interface__")

    def test_memory_comes_back(self) -> None:
        pool = tc.device("cuda:0").pool
        gc.collect()  # what earlier tests left in circles must not come back in the middle of this one
        before = pool.lent
        x = tc.tensor(np.zeros((100, 1000)), "cuda:0")
        assert pool.lent - before >= 400_000
        del x
        tc.device("cuda:0").synchronize()
        assert pool.lent == before


class TestOtherDevices:
    pytestmark = needs_cuda

    @pytest.mark.parametrize("places", [("cpu", "cuda:0"), ("cuda:0", "reference"), ("cuda:0", "cpu")])
    def test_a_copy_to_and_from_them(self, places: tuple[str, str]) -> None:
        values = normal(1, 2, 3, 4, 5).astype(np.float32)
        x = tc.tensor(values, places[0], requires_grad=True)
        y = F.relu(x.to(places[1]))
        y.backward(np.ones(values.shape))
        np.testing.assert_array_equal(y.numpy(), np.maximum(values, 0))
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), values > 0)


class TestTwoDevices:
    pytestmark = needs_two_gpus

    def test_a_copy_between_two(self) -> None:
        values = normal(1, 2, 3, 8, 8).astype(np.float32)
        x = tc.tensor(values, "cuda:0", requires_grad=True)
        y = (x * 2.0).to("cuda:1") * 3.0
        np.testing.assert_array_equal(y.numpy(), values * 2 * 3)
        y.backward(np.ones(values.shape))
        assert x.grad is not None and x.grad.device is tc.device("cuda:0")
        np.testing.assert_array_equal(x.grad.numpy(), np.full(values.shape, 6, np.float32))

    def test_the_source_is_not_reused_before_it_was_read(self) -> None:
        """The block goes back to its pool as soon as the program lets it go, and the next array gets it."""
        there = []
        for i in range(6):
            x = tc.tensor(np.full(5000, float(i)), "cuda:0")
            there.append((x + 1.0).to("cuda:1"))
            del x
        assert [y.numpy().tolist() for y in there] == [[i + 1.0] * 5000 for i in range(6)]

    def test_inputs_on_two_devices_are_refused(self) -> None:
        with pytest.raises(ValueError, match="add: inputs are on cuda:0 and cuda:1"):
            tc.tensor([1.0], "cuda:0") + tc.tensor([1.0], "cuda:1")

    def test_pickled_tensors_come_back_to_their_device(self) -> None:
        x = tc.tensor([1.0, 2.0], "cuda:1")
        assert copy.deepcopy(x.device) is x.device
        assert pickle.loads(pickle.dumps(x)).data.device.id == 1


class TestHowManyDevices:
    pytestmark = emulated

    def test_a_device_too_many(self) -> None:
        with pytest.raises(ValueError, match=r"no device 'cuda:7' here, only cuda:0 to cuda:1; TINYCONV_EMULATED_DEV"):
            tc.device("cuda:7")

    def test_their_number_can_be_set(self) -> None:
        done = _run("import tinyconv as tc; print(tc.devices())", TINYCONV_EMULATED_DEVICES="3")
        assert done.stdout.strip() == "['cpu', 'reference', 'cuda:0', 'cuda:1', 'cuda:2']", done.stderr


def test_cuda_is_short_for_the_first() -> None:
    if WHY_NO_CUDA is not None:
        pytest.skip(WHY_NO_CUDA)
    assert tc.device("cuda") is tc.device("cuda:0")


@pytest.mark.parametrize("name", ["cuda:", "cuda:x", "cuda:-1", "cuda0", "gpu"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"device: there is no device '{name}' here; available: cpu, .*reference"):
        tc.device(name)


def test_a_wrong_wish_is_named() -> None:
    done = _run("import tinyconv as tc; tc.device('cuda:0')", TINYCONV_CUDA="emulate")
    assert "ValueError: TINYCONV_CUDA must be 'emulated' or not set, not 'emulate'" in done.stderr


def _without(package: str, program: str) -> str:
    """``program`` where ``package`` cannot be imported."""
    return f"import sys; sys.modules[{package!r}] = None\n{program}"


def test_without_cupy_the_error_says_what_to_do() -> None:
    done = _run(_without("cupy", "import tinyconv as tc; tc.device('cuda:0')"), TINYCONV_CUDA=None)
    assert 'CudaUnavailable: cuda: CuPy cannot be imported' in done.stderr
    assert 'pip install "tinyconv[cuda13]"' in done.stderr and "TINYCONV_CUDA=emulated" in done.stderr


def test_without_a_compiler_the_emulator_says_what_to_install() -> None:
    done = _run("import tinyconv as tc; tc.device('cuda:0')", TINYCONV_CUDA="emulated", PATH="", CXX=None)
    assert "CudaUnavailable: cuda: the emulator cannot run: " in done.stderr and "install" in done.stderr
    assert _run("import tinyconv as tc; print(tc.tensor([1.0]) + 1.0)", PATH="", CXX=None).returncode == 0


def test_without_a_gpu_the_cpu_is_still_there() -> None:
    done = _run(_without("cupy", "import tinyconv as tc; print(tc.devices())"), TINYCONV_CUDA=None)
    assert done.stdout.strip() == "['cpu', 'reference']", done.stderr


def test_info_says_what_is_here_and_what_to_install() -> None:
    program = "import runpy; runpy.run_module('tinyconv.info', run_name='__main__')"
    done = _run(_without("cupy", program), TINYCONV_CUDA=None)
    assert done.returncode == 0, done.stderr
    assert f"numpy {np.__version__}" in done.stdout and "device cpu: " in done.stdout
    assert 'pip install "tinyconv[cuda13]"' in done.stdout


def test_info_on_the_emulator() -> None:
    if WHY_NO_CUDA is not None:
        pytest.skip(WHY_NO_CUDA)
    done = _run("import tinyconv.info; tinyconv.info.main()", TINYCONV_CUDA="emulated")
    if cuda.is_emulated():
        assert "on: device cuda:0 is emulated" in done.stdout, done.stderr


@pytest.mark.parametrize("name, value", [
    ("TINYCONV_CUDA", "foo"), ("TINYCONV_EMULATED_DEVICES", "0"), ("TINYCONV_EMULATOR", "slow"),
    ("TINYCONV_ISA", "zz")])
def test_info_on_settings_that_mean_nothing_is_one_line(name: str, value: str) -> None:
    if WHY_NO_CUDA is not None:
        pytest.skip(WHY_NO_CUDA)
    program = "import sys, tinyconv.info; sys.exit(tinyconv.info.main())"
    done = _run(program, **{"TINYCONV_CUDA": "emulated", name: value})
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and value in done.stderr


@pytest.mark.parametrize("device", [CUDA])
def test_blocking_names_the_launch(device: str, monkeypatch: Any) -> None:
    target = tc.device(device)
    monkeypatch.setattr(target, "_blocking", True)
    seen = []
    monkeypatch.setattr(target, "synchronize", lambda doing="": seen.append(doing))
    F.relu(tc.tensor([1.0], device))
    assert "relu.forward on cuda:0" in seen
