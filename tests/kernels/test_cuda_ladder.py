"""Every rung of the CUDA kernels of convolution and of the linear layer, on ragged shapes, against the definition.

Where the emulator runs them, it checks every access, and runs each launch in three orders of threads, which must agree
in every byte.  Outputs start as NaN, so an element that is not written is noticed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tinyconv.kernels import gpu
from tinyconv.kernels.gpu import ladder, product
from tinyconv.kernels.shapes import output_size

import tinyconv as tc
from tinyconv import cuda
from tinyconv.emulator import checking

from ..closeness import assert_close
from ..conftest import WHY_NO_CUDA

needs_cuda = [pytest.mark.gpu, pytest.mark.skipif(WHY_NO_CUDA is not None, reason=str(WHY_NO_CUDA))]

# Sums of up to a thousand products, each rounded to 6e-8 or 1e-16, in another order than the definition's.  TF32 has 10
# bits behind the point: each factor is off by up to 5e-4 of itself, either way.
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
TF32 = 1e-3

# x (N, C, H, W), filters (K, R, S), stride, padding, groups, ceil_mode
CONVOLUTIONS = {
    "one pixel": ((1, 1, 1, 1), (1, 1, 1), (1, 1), (0, 0), 1, False),
    "3x3": ((2, 3, 5, 4), (2, 3, 3), (1, 1), (1, 1), 1, False),
    "groups": ((2, 4, 7, 6), (6, 3, 2), (2, 1), (1, 0), 2, False),
    "depthwise, stride above filter": ((1, 4, 5, 5), (4, 2, 2), (3, 3), (1, 1), 4, True),
    "padding above filter - 1": ((1, 3, 4, 4), (5, 3, 3), (1, 1), (3, 3), 1, False),
    "ceil mode beyond the edge": ((1, 2, 9, 8), (3, 4, 3), (4, 3), (0, 1), 1, True),
    "11x11, stride 4": ((1, 1, 12, 12), (1, 11, 11), (4, 4), (0, 0), 1, True),
    "an image smaller than the stride": ((2, 3, 2, 1), (4, 2, 1), (3, 2), (0, 0), 1, False),
    "a filter past one tile, deep": ((1, 40, 3, 3), (65, 2, 2), (1, 1), (0, 0), 1, False),
    "pixels past one tile": ((5, 2, 6, 5), (7, 2, 3), (1, 2), (0, 1), 1, True),
    "a sum in parts": ((8, 3, 33, 33), (5, 3, 3), (2, 2), (0, 0), 1, True),
}
CONVOLUTION = pytest.mark.parametrize("shape", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
# N, C, K: where C and K are multiples of 4, the gradients load float4
MATRICES = [(1, 1, 1), (2, 3, 4), (1, 129, 8), (7, 9, 65), (65, 17, 7), (9, 16, 130), (128, 33, 64), (19, 68, 72)]
MATRIX = pytest.mark.parametrize("shape", MATRICES, ids=str)


@pytest.fixture(autouse=True)
def _every_check_and_order() -> Iterator[None]:
    with checking(order="each"):
        yield


@pytest.fixture(params=[(64, 64), (64, 128), (128, 128)], ids=str)
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A block's tile, whatever the shape would call for: large ones come with shapes too large to be checked."""
    monkeypatch.setattr(product.Cut, "tile", request.param)
    return request.param


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the kernels launched so far."""
    files: list[str] = []
    original = gpu.Source.launch

    def launch(source: gpu.Source, kernel: str, *arguments: Any, **options: Any) -> None:
        files.append(source.path.name)
        original(source, kernel, *arguments, **options)

    monkeypatch.setattr(gpu.Source, "launch", launch)
    return files


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape)


def launch(kernel: str, arrays: list[Any], outputs: list[int], dtype: Any, **options: Any) -> list[np.ndarray]:
    """The arrays with these indices after a launch; before it, they are NaN."""
    device = tc.device("cuda:0")
    before = [a if a is None else np.full_like(a, np.nan) if i in outputs else a for i, a in enumerate(arrays)]
    there = [None if a is None else device.upload(a.astype(dtype)) for a in before]
    device.launch(kernel, *there, **options)
    return [device.download(there[i]) for i in outputs if arrays[i] is not None]


def check(kernel: str, arrays: list[Any], outputs: list[int], dtype: Any = np.float32, tol: float | None = None,
          **options: Any) -> list[np.ndarray]:
    """``launch``, and compare with the definition, worked out in float64 from the same rounded numbers."""
    results = launch(kernel, arrays, outputs, dtype, **options)
    exact = [None if a is None else a.astype(dtype).astype(np.float64) for a in arrays]
    tc.device("reference").launch(kernel, *exact, **options)
    for i, result in zip([i for i in outputs if arrays[i] is not None], results, strict=True):
        assert_close(result, exact[i], TOLERANCE[np.dtype(dtype)] if tol is None else tol, f"{kernel}, argument {i}")
    return results


def convolution(shape: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The options, and arrays by their names; ``made`` is what a ReLU may have made of y."""
    (N, C, H, W), (K, R, S), stride, padding, groups, ceil_mode = shape
    P, Q = output_size(H, R, stride[0], padding[0], ceil_mode), output_size(W, S, stride[1], padding[1], ceil_mode)
    arrays = {"x": normal(N, C, H, W), "weight": normal(K, C // groups, R, S), "bias": normal(K),
              "gy": normal(N, K, P, Q, seed=1), "made": normal(N, K, P, Q, seed=2)}
    return {"stride": stride, "padding": padding, "groups": groups}, arrays


def matrices(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    N, C, K = shape
    return {"x": normal(N, C), "weight": normal(K, C), "bias": normal(K), "gy": normal(N, K, seed=1),
            "made": normal(N, K, seed=2)}


def check_forward(layer: str, a: dict[str, np.ndarray], options: dict[str, Any], **how: Any) -> None:
    check(f"{layer}.forward", [a["x"], a["weight"], a["bias"], a["gy"]], [3], relu=True, **options, **how)
    check(f"{layer}.forward", [a["x"], a["weight"], None, a["gy"]], [3], **options, **how)


def check_backward(layer: str, a: dict[str, np.ndarray], options: dict[str, Any], **how: Any) -> None:
    x, weight, bias, gy, made = a["x"], a["weight"], a["bias"], a["gy"], a["made"]
    check(f"{layer}.backward_input", [gy, weight, x], [2], **options, **how)
    check(f"{layer}.backward_input", [gy, weight, x, made], [2], **options, **how)
    check(f"{layer}.backward_weight", [x, gy, weight, None], [2], **options, **how)
    check(f"{layer}.backward_weight", [x, gy, weight, bias, made], [2, 3], **options, **how)


class TestPasses:
    pytestmark = needs_cuda

    @CONVOLUTION
    @pytest.mark.parametrize("rung", ladder.RUNGS["conv.forward"])
    def test_convolution_forward(self, rung: str, shape: Any) -> None:
        options, arrays = convolution(shape)
        with ladder.use_rung("conv.forward", rung):
            check_forward("conv", arrays, options, tol=TF32 if rung == "tf32" else None)

    @CONVOLUTION
    @pytest.mark.parametrize("rung", ladder.RUNGS["conv.backward_input"])
    def test_convolution_backward(self, rung: str, shape: Any) -> None:
        options, arrays = convolution(shape)
        with ladder.use_rung("conv.backward_input", rung), ladder.use_rung("conv.backward_weight", rung):
            check_backward("conv", arrays, options)

    @MATRIX
    @pytest.mark.parametrize("rung", ladder.RUNGS["linear.forward"])
    def test_linear_forward(self, rung: str, shape: Any) -> None:
        with ladder.use_rung("linear.forward", rung):
            check_forward("linear", matrices(shape), {}, tol=TF32 if rung == "tf32" else None)

    @MATRIX
    @pytest.mark.parametrize("rung", ladder.RUNGS["linear.backward_input"])
    def test_linear_backward(self, rung: str, shape: Any) -> None:
        with ladder.use_rung("linear.backward_input", rung), ladder.use_rung("linear.backward_weight", rung):
            check_backward("linear", matrices(shape), {})

    @CONVOLUTION
    def test_float64_convolution(self, shape: Any) -> None:
        options, arrays = convolution(shape)
        check_forward("conv", arrays, options, dtype=np.float64)
        check_backward("conv", arrays, options, dtype=np.float64)

    @MATRIX
    def test_float64_linear(self, shape: Any) -> None:
        check_forward("linear", matrices(shape), {}, dtype=np.float64)
        check_backward("linear", matrices(shape), {}, dtype=np.float64)

    @pytest.mark.parametrize("layer", ["conv", "linear"])
    @pytest.mark.parametrize("rung", ["vectorised", "tf32"])
    def test_sums_in_parts(self, rung: str, layer: str, monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
        """Parts of two tiles of depth instead of 32: so every pass has some, the last of them shorter."""
        monkeypatch.setattr(product, "_PART", 32)
        if layer == "conv":
            options, a = convolution(((2, 10, 7, 6), (14, 3, 3), (2, 1), (1, 1), 2, False))
        else:
            options, a = {}, matrices((49, 50, 51))
        with ladder.use_rung(f"{layer}.forward", rung):
            check_forward(layer, a, options, tol=TF32 if rung == "tf32" else None)
        check_backward(layer, a, options)
        assert files.count("parts.cu") == 2 + 4, "each launch above adds up parts"

    @pytest.mark.parametrize("size", [1, 63, 65, 127, 128, 129])
    def test_large_tiles_of_a_convolution(self, tile: tuple[int, int], size: int) -> None:
        """Filters, channels and pixels, each of a number around the tile's."""
        options, arrays = convolution(((1, 3, 1, size), (size, 1, 2), (1, 1), (0, 1), 1, False))
        check("conv.forward", [arrays["x"], arrays["weight"], arrays["bias"], arrays["gy"]], [3], **options)
        options, arrays = convolution(((1, size, 1, size), (2, 1, 2), (1, 1), (0, 1), 1, False))
        check("conv.backward_input", [arrays["gy"], arrays["weight"], arrays["x"], arrays["made"]], [2], **options)
        options, arrays = convolution(((1, size, 1, 17), (size, 1, 1), (1, 1), (0, 0), 1, False))
        check("conv.backward_weight", [arrays["x"], arrays["gy"], arrays["weight"], None, arrays["made"]], [2],
              **options)

    @pytest.mark.parametrize("size", [1, 63, 65, 127, 128, 129])
    def test_large_tiles_of_a_linear_layer(self, tile: tuple[int, int], size: int) -> None:
        a = matrices((size, 17, size))
        check("linear.forward", [a["x"], a["weight"], a["bias"], a["gy"]], [3])
        a = matrices((size, size, 17))
        check("linear.backward_input", [a["gy"], a["weight"], a["x"], a["made"]], [2])
        a = matrices((17, size, size))
        check("linear.backward_weight", [a["x"], a["gy"], a["weight"], None, a["made"]], [2])

    def test_linear_gradients_of_matrices_that_are_not_aligned(self) -> None:
        """Rows of a multiple of 4 numbers, from an address that is none."""
        device, a = tc.device("cuda:0"), matrices((5, 8, 12))
        gx, gw = np.zeros((5, 8)), np.zeros((12, 8))
        tc.device("reference").launch("linear.backward_input", a["gy"], a["weight"], gx, a["made"])
        tc.device("reference").launch("linear.backward_weight", a["x"], a["gy"], gw, None, a["made"])
        there = {}
        for name in ("x", "weight", "gy", "made"):
            padded = device.upload(np.concatenate([[np.nan], a[name].ravel()]).astype(np.float32))
            there[name] = padded[1:].reshape(a[name].shape)
        results = device.empty((5, 8)), device.empty((12, 8))
        device.launch("linear.backward_input", there["gy"], there["weight"], results[0], there["made"])
        device.launch("linear.backward_weight", there["x"], there["gy"], results[1], None, there["made"])
        assert_close(device.download(results[0]), gx, TOLERANCE[np.dtype(np.float32)])
        assert_close(device.download(results[1]), gw, TOLERANCE[np.dtype(np.float32)])

    @pytest.mark.skipif(not cuda.is_emulated(), reason="a GPU has the architecture that it has")
    @pytest.mark.parametrize("kernel", ["conv.forward", "conv.backward_weight", "linear.backward_input"])
    def test_before_sm_80_numbers_travel_by_way_of_registers(self, kernel: str) -> None:
        """And rung 5 is rung 4 there: tensor cores that do not know TF32."""
        layer, name = kernel.split(".")
        options, a = convolution(CONVOLUTIONS["3x3"]) if layer == "conv" else ({}, matrices((19, 68, 72)))
        arrays, outputs = {
            "forward": ([a["x"], a["weight"], a["bias"], a["gy"]], [3]),
            "backward_input": ([a["gy"], a["weight"], a["x"], a["made"]], [2]),
            "backward_weight": ([a["x"], a["gy"], a["weight"], a["bias"], a["made"]], [2, 3]),
        }[name]
        with checking(order="each", arch=75), ladder.use_rung("conv.forward", "tf32"):
            check(kernel, arrays, outputs, **options)

    @pytest.mark.parametrize("layer", ["conv", "linear"])
    def test_tf32_is_what_it_says(self, layer: str) -> None:
        """Off unless asked for; then the same sums of products, of factors rounded to 10 bits behind the point."""
        if layer == "conv":
            options, a = convolution(((2, 5, 6, 6), (9, 3, 3), (1, 1), (1, 1), 1, False))
        else:
            options, a = {}, matrices((9, 33, 12))
        arrays = [a["x"], a["weight"], a["bias"], a["gy"]]
        (default,) = check(f"{layer}.forward", arrays, [3], **options)
        ladder.allow_tf32(True)
        try:
            (allowed,) = launch(f"{layer}.forward", arrays, [3], np.float32, **options)
            rounded = [to_tf32(arrays[0]), to_tf32(arrays[1]), *arrays[2:]]
            exact = [array.astype(np.float32).astype(np.float64) for array in rounded]
            tc.device("reference").launch(f"{layer}.forward", *exact, **options)
            assert_close(allowed, exact[3], TOLERANCE[np.dtype(np.float32)])
            assert np.abs(allowed - default).max() > TOLERANCE[np.dtype(np.float32)] * np.abs(default).max()
            check(f"{layer}.forward", arrays, [3], np.float64, **options)
        finally:
            ladder.allow_tf32(False)
        (again,) = launch(f"{layer}.forward", arrays, [3], np.float32, **options)
        assert again.tobytes() == default.tobytes()


def to_tf32(array: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits behind the point, halves away from zero."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xffffe000)).view(np.float32)


class TestWhichKernelRuns:
    pytestmark = needs_cuda

    @pytest.mark.parametrize("layer", ["conv", "linear"])
    @pytest.mark.parametrize("rung", ladder.RUNGS["conv.forward"])
    def test_each_rung_is_a_kernel_of_its_own(self, rung: str, layer: str, files: list[str]) -> None:
        options, a = convolution(CONVOLUTIONS["3x3"]) if layer == "conv" else ({}, matrices((2, 3, 4)))
        with ladder.use_rung(f"{layer}.forward", rung):
            check_forward(layer, a, options, tol=TF32)
        assert set(files) - {"pack.cu"} == {f"{rung}.cu"}

    def test_what_the_fast_rungs_of_conv_do_not_serve(self, files: list[str]) -> None:
        """A filter of more rows and columns than a mask has bits, and more groups than a grid has layers."""
        options, arrays = convolution(((1, 1, 40, 2), (2, 31, 1), (1, 1), (1, 0), 1, False))
        check_forward("conv", arrays, options)
        check_backward("conv", arrays, options)
        assert set(files) == {"naive.cu", "bias.cu"}
        files.clear()
        options, arrays = convolution(((1, 1, 31, 2), (2, 30, 1), (1, 1), (1, 0), 1, False))
        check_forward("conv", arrays, options)
        check_backward("conv", arrays, options)
        assert "naive.cu" not in files


class TestLadder:
    def test_the_best_that_keeps_float32_is_the_default(self) -> None:
        assert {ladder.chosen(kernel, np.float32) for kernel in ladder.RUNGS} == {"vectorised"}

    def test_float64_is_served_by_the_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TINYCONV_CUDA_RUNG", "conv.forward=tiled")
        assert {ladder.chosen(kernel, np.float64) for kernel in ladder.RUNGS} == {"naive"}

    def test_a_rung_for_a_while(self) -> None:
        with ladder.use_rung("conv.forward", "tiled"):
            with ladder.use_rung("conv.forward", "register"):
                assert ladder.chosen("conv.forward", np.float32) == "register"
            assert ladder.chosen("conv.forward", np.float32) == "tiled"
            assert ladder.chosen("linear.forward", np.float32) == "vectorised"
        assert ladder.chosen("conv.forward", np.float32) == "vectorised"

    def test_a_rung_for_one_thread(self) -> None:
        with ladder.use_rung("conv.forward", "tiled"), ThreadPoolExecutor(1) as other:
            assert other.submit(ladder.chosen, "conv.forward", np.float32).result() == "vectorised"

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TINYCONV_CUDA_RUNG", "conv.forward=naive, linear.forward=register")
        assert ladder.chosen("conv.forward", np.float32) == "naive"
        assert ladder.chosen("linear.forward", np.float32) == "register"
        assert ladder.chosen("linear.backward_input", np.float32) == "vectorised"
        with ladder.use_rung("conv.forward", "tiled"):
            assert ladder.chosen("conv.forward", np.float32) == "tiled"

    def test_tf32_where_there_is_such_a_rung(self) -> None:
        ladder.allow_tf32(True)
        try:
            chosen = {kernel: ladder.chosen(kernel, np.float32) for kernel in ladder.RUNGS}
        finally:
            ladder.allow_tf32(False)
        assert {kernel for kernel, rung in chosen.items() if rung == "tf32"} == {"conv.forward", "linear.forward"}
        assert {ladder.chosen(kernel, np.float32) for kernel in ladder.RUNGS} == {"vectorised"}

    @pytest.mark.parametrize("setting, message", [
        ("conv.forward=quick", "conv.forward has no rung 'quick'; its rungs are naive, tiled, register"),
        ("conv.backward_input=tiled", "its rungs are naive, vectorised"),
        ("pool.max_forward=naive", "'pool.max_forward' has no ladder; those that have one are conv.forward"),
        ("conv.forward", "conv.forward has no rung ''"),
    ])
    def test_a_bad_name(self, setting: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TINYCONV_CUDA_RUNG", setting)
        with pytest.raises(ValueError, match=message) as caught:
            ladder.chosen("linear.forward", np.float32)
        assert "TINYCONV_CUDA_RUNG" in str(caught.value)
        kernel, _, rung = setting.partition("=")
        with pytest.raises(ValueError, match=message), ladder.use_rung(kernel, rung):
            pass


@pytest.mark.parametrize("sizes, tile, parts", [
    ((1, 1, 1), (64, 64), 1),
    ((128, 4096, 9216), (128, 128), 8),  # 32 blocks of 128 x 128 would leave most of a GPU idle
    ((128, 4096, 100), (64, 64), 1),
    ((384, 169, 2304), (64, 64), 5),
    ((96, 363, 387_200), (128, 128), 86),
    ((64, 10 ** 6, 576), (64, 128), 1),
    ((192, 10 ** 6, 576), (64, 128), 1),  # 3 x 64 rows, of which none is wasted
])
def test_the_cut_fits_the_product(sizes: tuple[int, int, int], tile: tuple[int, int], parts: int) -> None:
    cut = product.Cut(*sizes)
    assert (cut.tile, cut.parts) == (tile, parts)
    assert cut.per_part % product.DEPTH == 0 and (parts - 1) * cut.per_part < sizes[2] <= parts * cut.per_part
