"""The linear layer."""

import subprocess
import sys
from typing import Any
from unittest.mock import patch

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyconv.kernels import isa, tile
from tinyconv.kernels.conv import pointwise
from tinyconv.kernels.linear import across, cpu, reference

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal
from .plans import fresh_plans


@given(sizes=st.tuples(*(st.integers(1, 9) for _ in range(3))), bias=st.booleans(),
       layouts=st.lists(st.sampled_from(LAYOUTS), min_size=3, max_size=3))
def test_agrees_with_pytorch(device: str, torch: Any, sizes: tuple[int, int, int], bias: bool,
                             layouts: list[str]) -> None:
    n, c, k = sizes
    arrays = [normal(1, n, c), normal(2, k, c), normal(3, k)][:2 + bias]
    agree(torch, device, F.linear, torch.nn.functional.linear, arrays, layouts[:2 + bias])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_agree_with_finite_differences(device: str, layout: str) -> None:
    inputs = [place(a, device, layout, np.float64) for a in (normal(1, 3, 4), normal(2, 2, 4), normal(3, 2))]
    assert tc.gradcheck(F.linear, *inputs)
    assert tc.gradcheck(F.linear, *inputs[:2])


def test_by_hand(device: str) -> None:
    x = tc.tensor([[1.0, 2.0], [3.0, 4.0]], device, requires_grad=True)
    w = tc.tensor([[1.0, 10.0], [0.0, 1.0], [5.0, 0.0]], device, requires_grad=True)
    b = tc.tensor([0.5, -2.0, 0.0], device, requires_grad=True)
    y = F.linear(x, w, b)
    np.testing.assert_array_equal(y.numpy(), [[21.5, 0, 5], [43.5, 2, 15]])
    y.backward(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 10], [5, 2]])
    np.testing.assert_array_equal(w.grad.numpy(), [[1, 2], [6, 8], [3, 4]])
    np.testing.assert_array_equal(b.grad.numpy(), [1, 2, 1])


@pytest.mark.parametrize("images", [1, 3, 6, 7, 8, 9, 33, 70, 300])  # one dot tile; gather tiles; several blocks
@pytest.mark.parametrize("inputs", [352, 333, 1100, 1024])  # whole vectors, and not; several tasks; 4096 bytes apart
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cpu_kernels_of_every_size(monkeypatch: pytest.MonkeyPatch, dtype: str, large: bool, inputs: int,
                                       images: int) -> None:
    """With a depth that cuts sums; the gradient in several parts, or so large that it goes past the caches."""
    monkeypatch.setattr(cpu, "_DEPTH", 100)
    if large:
        monkeypatch.setattr(tile, "LARGE", 0)
        monkeypatch.setattr(isa.ISA, "fills_lines", True)
    else:
        monkeypatch.setattr(pointwise, "_CACHE", 1 << 15)
    device, neurons = tc.device("cpu"), 75
    x, w, b, gy, mask = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate(
        [(images, inputs), (neurons, inputs), (neurons,), (images, neurons), (images, neurons)]))
    expected = [np.empty(a.shape) for a in (gy, x, w, b)]
    reference.forward(x.astype(float), w.astype(float), b, expected[0], relu=True)
    reference.backward_input(gy.astype(float), w.astype(float), expected[1], mask)
    reference.backward_weight(x.astype(float), gy.astype(float), expected[2], expected[3], mask)
    x, gy, mask = (device.upload(a) for a in (x, gy, mask))
    y, gx, gw, gb = (device.upload(np.full_like(a, np.nan), plain=True) for a in (gy, x, w, b))
    device.launch("linear.forward", x, w, b, y, relu=True)
    device.launch("linear.backward_input", gy, w, gx, mask)
    with fresh_plans(pointwise):
        device.launch("linear.backward_weight", x, gy, gw, gb, mask)
    for actual, wanted, name in zip((y, gx, gw, gb), expected, ("y", "gx", "gw", "gb"), strict=True):
        assert_close(actual, wanted, 1e-5 if dtype == "float32" else 1e-13, name)


GUARDED = """
import ctypes, itertools, mmap
import numpy as np
import tinyconv as tc

def guarded(array):
    page, libc = mmap.PAGESIZE, ctypes.CDLL(None)
    size = -(-array.nbytes // page) * page
    block = mmap.mmap(-1, size + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(page), 0) == 0
    copied = np.frombuffer(block, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    copied[...] = array
    return copied

launch, random = tc.device("cpu").launch, np.random.default_rng(1)
for dtype in "float32", "float64":
    for images, neurons, inputs in itertools.product((1, 6), (1, 2, 17, 65, 130), (1, 2, 7, 15, 16, 17, 31, 33, 100)):
        x, gy, w = (guarded(random.standard_normal(shape).astype(dtype)) for shape in (
            (images, inputs), (images, neurons), (neurons, inputs)))
        y, gx, gw = (guarded(np.full_like(a, np.nan)) for a in (gy, x, w))
        launch("linear.forward", x, w, None, y)
        launch("linear.backward_input", gy, w, gx, y)
        launch("linear.backward_weight", x, gy, gw, None, y)
        masked = np.where(y > 0, gy, 0).astype(float)
        for made, wanted in (y, x.astype(float) @ w.T), (gx, masked @ w), (gw, masked.T @ x):
            np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)
print("nothing behind them")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory behind an array is made unreadable by mprotect")
def test_the_cpu_kernels_read_nothing_behind_their_arrays() -> None:
    """Vectors that a row does not fill, down to one input, with arrays that end where memory ends."""
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, timeout=300)
    assert done.stdout == "nothing behind them\n", (done.returncode, done.stderr)


def _few_that_count(seed: int, images: int, size: int, zeros: float, dtype: str = "float32") -> np.ndarray:
    """(images, size), of which some columns are 0 in all images, and others in some."""
    values = normal(seed, images, size).astype(dtype)
    values[:, np.random.default_rng(seed).random(size) < zeros] = 0
    return np.where(np.random.default_rng(seed + 1).random(values.shape) < 0.2, 0, values)


@pytest.mark.parametrize("images", [1, 2, 4, 5, 8, 9, 20])
@pytest.mark.parametrize("inputs", [352, 333, 7])
@pytest.mark.parametrize("zeros", [0, 0.5, 0.97, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_counts_for_no_image_is_left_out(monkeypatch: pytest.MonkeyPatch, dtype: str, zeros: float, inputs: int,
                                              images: int) -> None:
    """The input gradient, and forward with weights that are kept, where gradients or inputs are 0 for every image.
    Forward has the same bits as with weights that are not kept."""
    monkeypatch.setattr(tile, "LARGE", 0)
    monkeypatch.setattr(across, "_PASSES", 1)
    device, neurons, kept, bound = tc.device("cpu"), 75, {}, 1e-5 if dtype == "float32" else 1e-13
    x, gy = _few_that_count(1, images, inputs, zeros, dtype), _few_that_count(2, images, neurons, zeros, dtype)
    w, b, mask = (normal(seed, *shape).astype(dtype)
                  for seed, shape in ((3, (neurons, inputs)), (4, (neurons,)), (5, (images, neurons))))
    for bias, relu in ((b, True), (b, False), (None, False)):
        expected, y, usual = np.empty(gy.shape), *(device.upload(np.full_like(gy, np.nan)) for _ in range(2))
        reference.forward(x.astype(float), w.astype(float), bias, expected, relu=relu)
        device.launch("linear.forward", device.upload(x), device.upload(w), bias, y, relu=relu, kept=kept)
        device.launch("linear.forward", device.upload(x), device.upload(w), bias, usual, relu=relu)
        assert_close(y, expected, bound, "y")
        np.testing.assert_array_equal(y, usual)
    some = np.count_nonzero(x.any(axis=0)) <= 0.75 * inputs
    assert ("transposed" in kept) == (some and images <= min(8, isa.chosen().rows))
    for y in (None, mask):
        expected, gx = np.empty(x.shape), device.upload(np.full_like(x, np.nan))
        reference.backward_input(gy.astype(float), w.astype(float), expected, y)
        weight = w.copy()
        if images <= 4:  # what is not read cannot matter
            weight[~(gy if y is None else np.where(y > 0, gy, 0)).any(axis=0)] = np.nan
        device.launch("linear.backward_input", device.upload(gy), device.upload(weight), gx, y)
        assert_close(gx, expected, bound, "gx")


def test_weights_are_transposed_where_they_stay_and_are_many(monkeypatch: pytest.MonkeyPatch,
                                                             few_threads: None) -> None:
    """By F.linear: made after some passes without a graph, anew when the weights change, and no bit tells."""
    monkeypatch.setattr(across, "_PASSES", 3)
    x, w = tc.tensor(_few_that_count(1, 1, 2100, 0.5)), tc.tensor(normal(2, 1050, 2100), requires_grad=True)
    expected, images = F.linear(x, w).numpy(), tc.tensor(np.concatenate([x.numpy(), normal(3, 1, 2100)]))
    monkeypatch.setattr(tile, "LARGE", w.data.nbytes)
    with patch.object(across, "transpose_all", wraps=across.transpose_all) as made, tc.no_grad():
        for passes in range(1, 6):
            numba.set_num_threads(min(passes % 2 + 1, numba.config.NUMBA_NUM_THREADS))
            np.testing.assert_array_equal(F.linear(x, w).numpy(), expected)
            assert made.call_count == (passes >= 3)
        np.testing.assert_array_equal(F.linear(images, w).numpy()[:1], expected)  # whatever its neighbour is
        w.copy_(2 * w.numpy())
        for _ in range(3):
            np.testing.assert_array_equal(F.linear(x, w).numpy(), 2 * expected)  # twice is exact in floating point
        assert made.call_count == 2
        for _ in range(4):
            F.linear(x, w.detach())  # another tensor each time
            F.linear(tc.tensor(normal(3, 1, 2100)), w)  # all inputs count
        small = tc.tensor(normal(2, 900, 2100))  # fit into the caches
        for _ in range(4):
            F.linear(x, small)
        assert made.call_count == 2


def test_without_memory_for_transposed_weights_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "LARGE", 0)
    monkeypatch.setattr(across, "_PASSES", 1)
    x, w = _few_that_count(1, 1, 90, 0.5), normal(2, 30, 90)
    with patch.object(across, "own", side_effect=MemoryError) as tried, tc.no_grad():
        weight = tc.tensor(w)
        for _ in range(2):
            assert_close(F.linear(tc.tensor(x), weight).numpy(), x @ w.T, 1e-5)
    assert tried.call_count == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_seen_by_forward(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    monkeypatch.setattr(tile, "LARGE", 0)
    monkeypatch.setattr(across, "_PASSES", 1)
    x, w = np.zeros((1, 40), np.float32), normal(2, 30, 40).astype(np.float32)
    x[0, 3], w[7, 5] = 2, wrong  # times 0 is NaN
    weight = tc.tensor(w)
    with patch.object(across, "sum_of_squares", wraps=across.sum_of_squares) as tries, tc.no_grad():
        for _ in range(2):
            y = F.linear(tc.tensor(x), weight).numpy()
            np.testing.assert_array_equal(np.isnan(y[0]), np.arange(30) == 7)
    assert tries.call_count == 1


def test_an_input_that_is_not_a_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "LARGE", 0)
    monkeypatch.setattr(across, "_PASSES", 1)
    x = np.zeros((1, 40), np.float32)
    x[0, 3] = np.nan
    w = tc.tensor(normal(2, 30, 40), requires_grad=True)
    with tc.no_grad():
        assert np.isnan(F.linear(tc.tensor(x), w).numpy()).all()
    z = tc.tensor(normal(1, 1, 30), requires_grad=True)
    F.linear(z, tc.tensor(normal(2, 40, 30))).backward(x)
    assert np.isnan(z.grad.numpy()).all()


@pytest.mark.parametrize("images", [1, 2, 3, 4])
def test_tiles_of_few_images_are_as_wide_as_registers_allow(images: int) -> None:
    with patch.object(tile, "address", wraps=tile.address) as asked:
        tc.device("cpu").launch("linear.backward_input", normal(1, images, 30), normal(2, 30, 400),
                                np.empty((images, 400)))
    assert [call.args[2] for call in asked.call_args_list] == [isa.chosen().tile_vectors(tile.height(images))]


@pytest.mark.parametrize("images", [2, 20])
def test_arrays_need_not_lie_row_by_row(images: int) -> None:
    """The kernels take a transposed weight, or every second column of x, as F.linear never passes them on."""
    device, x, w, gy = tc.device("cpu"), normal(1, images, 60)[:, ::2], normal(2, 30, 25).T, normal(3, images, 25)
    y, gx = np.empty(gy.shape), np.empty((images, 30))
    device.launch("linear.forward", x, w, None, y)
    device.launch("linear.backward_input", gy, w, gx)
    assert_close(y, x @ w.T, 1e-13)
    assert_close(gx, gy @ w, 1e-13)
