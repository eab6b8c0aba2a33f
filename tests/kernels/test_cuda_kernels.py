"""The CUDA kernels of all layers but convolution and linear, one by one, on ragged shapes, against the definition.

Where the emulator runs them, it checks every access, and runs each launch in three orders of threads, which must agree
in every byte.  Outputs start as NaN, so an element that is not written is noticed.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tinyconv.kernels.gpu.strips import Over, Part, Strip, Under, strip
from tinyconv.kernels.shapes import output_size

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import cuda
from tinyconv.emulator.settings import checking

from ..closeness import assert_close
from ..conftest import WHY_NO_CUDA

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(WHY_NO_CUDA is not None, reason=str(WHY_NO_CUDA))]

# The definition is worked out in float64.  These kernels take sums in double precision, or of a few terms; what is left
# is the rounding of the input's dtype in some ten operations, at 6e-8 or 1e-16 each.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EDGES = [1, 31, 32, 33, 255, 256, 257]


@pytest.fixture(autouse=True)
def _every_check_and_order() -> Iterator[None]:
    with checking(order="each"):
        yield


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(dtype)


def output(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 99, dtype)


def run(kernel: str, *arrays: Any, **options: Any) -> list[Any]:
    """What the arrays hold after a launch on the GPU."""
    device = tc.device("cuda:0")
    there = [device.upload(a) for a in arrays]
    device.launch(kernel, *there, **options)
    return [device.download(a) for a in there]


def check(kernel: str, *arrays: Any, tol: float | None = None, **options: Any) -> list[Any]:
    """A launch on the GPU fills the arrays with the numbers of the definition in float64, within ``TOLERANCE``, and
    integers exactly.  Returns the arrays."""
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a.copy() for a in arrays]
    with np.errstate(all="ignore"):
        tc.device("reference").launch(kernel, *exact, **options)
    results = run(kernel, *arrays, **options)
    for i, (result, expected) in enumerate(zip(results, exact, strict=True)):
        if result.dtype.kind == "f":
            bound = TOLERANCE[result.dtype] if tol is None else tol
            assert_close(result, expected.astype(result.dtype), bound, f"{kernel}, array {i}")
        else:
            np.testing.assert_array_equal(result, expected)
    return results


# x, window, stride, padding: one pixel; windows larger than the image; overlap and gaps; rows that end anywhere in a
# warp; a place that needs two bytes
POOLINGS = {
    "one pixel": ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    "overlap": ((2, 3, 7, 5), (3, 3), (2, 2), (1, 1)),
    "padding beyond the image": ((1, 2, 2, 3), (5, 4), (1, 2), (4, 3)),
    "around a warp": ((1, 5, 33, 31), (3, 3), (2, 2), (0, 0)),
    "wide": ((2, 2, 4, 65), (2, 7), (3, 1), (1, 6)),
    "two bytes a place": ((1, 1, 20, 20), (17, 16), (2, 2), (3, 3)),
    "gaps": ((3, 2, 13, 13), (3, 2), (4, 5), (1, 1)),
    "beyond the padding": ((1, 2, 6, 9), (3, 4), (2, 3), (1, 0)),  # where ceil mode adds a window
    "many channels": ((1, 40, 2, 7), (1, 3), (1, 2), (0, 0)),
    "tiles that do not divide": ((1, 2, 35, 59), (3, 3), (2, 2), (0, 0)),
    "a row longer than a block": ((1, 1, 3, 611), (3, 3), (2, 2), (0, 0)),
    "strips that end in another plane": ((2, 2, 67, 61), (3, 3), (2, 2), (0, 0)),
    "rows too long for shared memory": ((1, 1, 5, 4400), (3, 1), (1, 1), (0, 0)),
}


def pooling(name: str, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """x (a third of it zeros, as after ReLU, so that there are ties), empty y and index, and the options."""
    shape, kernel, stride, padding = POOLINGS[name]
    x = np.maximum(normal(*shape, dtype=dtype) + 0.4, 0)
    outputs = [output_size(n, k, s, p, ceil_mode=name == "beyond the padding")
               for n, k, s, p in zip(shape[2:], kernel, stride, padding, strict=True)]
    places = np.uint8 if math.prod(kernel) <= 256 else np.uint16
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return x, output(*shape[:2], *outputs, dtype=dtype), output(*shape[:2], *outputs, dtype=places), options


@DTYPES
@pytest.mark.parametrize("name", POOLINGS)
class TestPooling:
    def test_max(self, name: str, dtype: Any) -> None:
        x, y, index, options = pooling(name, dtype)
        _, y, index = check("pool.max_forward", x, y, index, **options, tol=0)
        check("pool.max_backward", normal(*y.shape, dtype=dtype), index, output(*x.shape, dtype=dtype), **options)

    @pytest.mark.parametrize("count_include_pad", [True, False])
    def test_average(self, name: str, dtype: Any, count_include_pad: bool) -> None:
        x, y, _, options = pooling(name, dtype)
        options["count_include_pad"] = count_include_pad
        check("pool.average_forward", x, y, **options)
        check("pool.average_backward", normal(*y.shape, dtype=dtype), output(*x.shape, dtype=dtype), **options)

    @pytest.mark.parametrize("bins", [(1, 1), (2, 3), (3, 40), (35, 1)])
    def test_adaptive_average(self, name: str, dtype: Any, bins: tuple[int, int]) -> None:
        x = normal(*POOLINGS[name][0], dtype=dtype)
        gy = normal(*x.shape[:2], *bins, dtype=dtype)
        check("pool.adaptive_average_forward", x, output(*gy.shape, dtype=dtype))
        check("pool.adaptive_average_backward", gy, output(*x.shape, dtype=dtype))


def test_the_largest_is_nan_then_the_first_and_never_the_padding() -> None:
    nan, inf = math.nan, math.inf
    x = np.array([[3, 5, 5, 1], [nan, 5, 2, nan], [-inf, -inf, -1, -2]], np.float32).reshape(1, 1, 3, 4)
    options: dict[str, Any] = {"kernel_size": (2, 2), "stride": (1, 2), "padding": (1, 1)}
    _, y, index = run("pool.max_forward", x, output(1, 1, 4, 3), output(1, 1, 4, 3, dtype=np.uint8), **options)
    np.testing.assert_array_equal(y[0, 0], [[3, 5, 1], [nan, 5, nan], [nan, 5, nan], [-inf, -1, -2]])
    assert index[0, 0].tolist() == [[3, 2, 2], [3, 0, 2], [1, 0, 0], [1, 1, 0]]


@DTYPES
@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("size", [1, 4, 5, 8, 9, 10])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 40, 1, 33)])
def test_lrn(shape: tuple[int, ...], size: int, beta: float, dtype: Any) -> None:
    """40 channels of 33 pixels are shared out to several threads; windows of 9 and 10 are too large for registers."""
    options = {"size": size, "alpha": 1.3, "beta": beta, "k": 1.5}
    x, gy = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    x, y, scale = check("lrn.forward", x, output(*shape, dtype=dtype), output(*shape, dtype=dtype), **options)
    check("lrn.backward", x, y, scale, gy, output(*shape, dtype=dtype), **options)


@pytest.mark.parametrize("size", [5, 9])
def test_a_loud_channel_leaves_no_trace_behind_its_window(size: int) -> None:
    """A running sum that adds 1e12 and subtracts it again has lost all there was beside it."""
    x = normal(1, 30, 1, 3)
    x[0, 4] = 1e6
    _, y, scale = run("lrn.forward", x, output(*x.shape), output(*x.shape), size=size, alpha=1.0, beta=0.75, k=1.0)
    _, alone, of_alone = run("lrn.forward", np.ascontiguousarray(x[:, 15:]), output(1, 15, 1, 3), output(1, 15, 1, 3),
                             size=size, alpha=1.0, beta=0.75, k=1.0)
    np.testing.assert_array_equal(y[:, 15 + size:], alone[:, size:])
    np.testing.assert_array_equal(scale[:, 15 + size:], of_alone[:, size:])


@pytest.mark.parametrize("name, size", [*((name, 5) for name in POOLINGS), ("overlap", 1), ("overlap", 4),
                                        ("overlap", 9), ("around a warp", 2)])
def test_lrn_and_max_pooling_at_once(name: str, size: int) -> None:
    """Also where it takes several tiles, and where a window is too large for one pass: 23 x 23 pixels or 9 channels.
    Away from ties, for the last bit of a normalised number decides those."""
    x, y, index, options = pooling(name, np.float32)
    x = normal(*x.shape)
    options |= {"size": size, "alpha": 1.3, "beta": 0.75, "k": 1.5}
    x, y, index = check("lrn_max_pool.forward", x, y, index, **options)
    check("lrn_max_pool.backward", x, index, normal(*y.shape), output(*x.shape), **options)


def test_lrn_and_max_pooling_of_a_window_larger_than_a_block() -> None:
    options: dict[str, Any] = {"size": 3, "alpha": 1.0, "beta": 0.75, "k": 1.0, "kernel_size": (23, 23),
                               "stride": (1, 2), "padding": (0, 0)}
    x, index = normal(1, 2, 24, 26), output(1, 2, 2, 2, dtype=np.uint16)
    x, y, index = check("lrn_max_pool.forward", x, output(1, 2, 2, 2), index, **options)
    check("lrn_max_pool.backward", x, index, normal(*y.shape), output(*x.shape), **options)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (3, 31), (2, 4), (5, 257), (2, 3, 5, 7), (2, 4, 4, 4)])
@pytest.mark.parametrize("p", [0.5, 0.1, 1 - 2 ** -40])
def test_dropout_draws_the_bits_of_the_definition(shape: tuple[int, ...], p: float, dtype: Any) -> None:
    """Every word of the counter at its largest; a p so close to 1 that its threshold needs 33 bits."""
    options = {"p": p, "seed": 2 ** 63 + 12345, "stream": 2 ** 32 - 1, "step": 7, "first_sample": 2 ** 32 - shape[0]}
    x = normal(*shape, dtype=dtype)
    expected = output(*shape, dtype=dtype)
    tc.device("reference").launch("dropout.apply", x, expected, **options)
    _, y = run("dropout.apply", x, output(*shape, dtype=dtype), **options)
    np.testing.assert_array_equal(y, expected)


def test_dropout_keeps_what_draws_the_threshold_itself() -> None:
    """The first word for key 0 and counter 0 is 6627e8d5, which Philox's authors publish."""
    x = np.ones((1, 1), np.float32)
    for word, kept in ((0x6627e8d5, True), (0x6627e8d6, False)):
        _, y = run("dropout.apply", x, output(1, 1), p=word / 2 ** 32, seed=0, stream=0, step=0, first_sample=0)
        assert (y.item() > 0) == kept


def test_dropout_at_an_address_that_no_vector_has() -> None:
    """Whole blocks of four, but the array begins four bytes behind where a vector may."""
    device = tc.device("cuda:0")
    options = {"p": 0.5, "seed": 1, "stream": 2, "step": 3, "first_sample": 4}
    values = normal(1, 65)
    x, y, expected = device.upload(values)[:, 1:], device.empty((1, 64)), output(1, 64)
    device.launch("dropout.apply", x, y, **options)
    tc.device("reference").launch("dropout.apply", values[:, 1:], expected, **options)
    np.testing.assert_array_equal(device.download(y), expected)


@DTYPES
@pytest.mark.parametrize("rows, classes", [(1, 1), (3, 31), (5, 32), (4, 33), (9, 257)])
class TestSoftmax:
    def test_softmax_and_its_logarithm(self, rows: int, classes: int, dtype: Any) -> None:
        x, gy = 5 * normal(rows, classes, dtype=dtype), normal(rows, classes, dtype=dtype, seed=1)
        for name in ("softmax", "log_softmax"):
            _, y = check(f"softmax_cross_entropy.{name}", x, output(rows, classes, dtype=dtype))
            check(f"softmax_cross_entropy.{name}_backward", y, gy, output(rows, classes, dtype=dtype))

    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
    def test_cross_entropy(self, rows: int, classes: int, dtype: Any, label_smoothing: float) -> None:
        x, target = 5 * normal(rows, classes, dtype=dtype), np.arange(rows) * 7 % classes
        _, _, _, log_probability = check("softmax_cross_entropy.forward", x, target, output(dtype=dtype),
                                         output(rows, classes, dtype=dtype), label_smoothing=label_smoothing)
        check("softmax_cross_entropy.backward", log_probability, target, np.array(2.5, dtype),
              output(rows, classes, dtype=dtype), label_smoothing=label_smoothing)


def test_a_class_that_is_ruled_out_and_logits_that_would_overflow() -> None:
    x = np.array([[-math.inf, 1e4, 1e4 - 1], [0, math.nan, 0], [-1e30, 0, -math.inf]], np.float32)
    target = np.ones(2, np.int64)
    for name in ("softmax", "log_softmax"):
        _, y = check(f"softmax_cross_entropy.{name}", x, output(3, 3))
        assert np.isnan(y[1]).all() and not np.isnan(y[[0, 2]]).any()
    _, _, loss, _ = run("softmax_cross_entropy.forward", x[::2], target, output(), output(2, 3), label_smoothing=0.0)
    assert loss == pytest.approx(math.log1p(math.exp(-1)) / 2, rel=1e-6)


def test_a_row_does_not_depend_on_how_many_there_are() -> None:
    """Bit for bit: the order of a sum is a matter of its own length."""
    x = normal(70, 5003)
    for kernel in ("softmax_cross_entropy.softmax", "softmax_cross_entropy.log_softmax"):
        few, together = (run(kernel, a, output(len(a), 5003))[1] for a in (x[:3], x))
        np.testing.assert_array_equal(few, together[:3])
    together, few = (run("reduce.sum", a, output(len(a), 1), axes=(1,))[1] for a in (x, x[:3]))
    np.testing.assert_array_equal(few, together[:3])
    one = run("reduce.sum", x[1:2], output(1, 1), axes=(0, 1))[1]
    columns = run("reduce.sum", np.ascontiguousarray(x.T), output(1, 70), axes=(0,))[1]
    assert one == together[1] and columns.ravel().tolist() == together.ravel().tolist()


View = tuple[tuple[int, ...], Callable[[Any], Any]]


def views(*shape: int) -> dict[str, View]:
    """Ways to get an array of this shape out of a dense one: name -> (the shape of that one, how)."""
    reverse = tuple(range(len(shape)))[::-1]
    swapped = (1, 0, *range(2, len(shape)))
    cut = tuple(slice(1, n + 1) for n in shape)
    turned = tuple(slice(None, None, -2) for _ in shape)
    last = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    pairs = (1, 0, *last[2:]) if len(shape) >= 4 else last
    return {
        "dense": (shape, lambda x: x),
        "transposed": (shape[::-1], lambda x: x.transpose(reverse)),
        "slice": (tuple(n + 2 for n in shape), lambda x: x[cut]),
        "backwards": (tuple(2 * n for n in shape), lambda x: x[turned]),
        "swapped": ((shape[1], shape[0], *shape[2:]), lambda x: x.transpose(swapped)),
        "in pairs": (tuple(shape[i] for i in pairs), lambda x: x.transpose(pairs)),
    }


class TestElementwise:
    @pytest.mark.parametrize("shape", [(1, 1), (33, 65), (64, 64), (2, 34, 40), (2, 9, 5, 17), (3, 2, 32, 64),
                                       (2, 3, 2, 3, 2)])
    def test_copies_from_any_view_to_any_view(self, shape: tuple[int, ...]) -> None:
        """And what lies around the target stays as it was."""
        device = tc.device("cuda:0")
        for (name, (x_shape, of_x)), (other, (y_shape, of_y)) in itertools.product(views(*shape).items(), repeat=2):
            values, target = normal(*x_shape), np.full(y_shape, 7, np.float32)
            x, y = device.upload(values), device.upload(target)
            device.launch("elementwise.copy", of_x(x), of_y(y))
            of_y(target)[...] = of_x(values)
            np.testing.assert_array_equal(device.download(y), target, err_msg=f"{name} to {other}")

    @pytest.mark.parametrize("source, target", [
        (np.float32, np.float64), (np.float64, np.float32), (np.float32, np.int64), (np.int64, np.float32),
        (np.float64, np.uint8), (np.uint8, np.float32), (np.int64, np.int16), (np.int8, np.int64),
        (np.uint16, np.float64), (np.float32, np.int8), (np.bool_, np.float32), (np.float32, np.bool_)])
    def test_converts_as_assignment_does(self, source: Any, target: Any) -> None:
        x = np.array([[0, 1, 2.5, 100.75, 7, 0.25]] * 9).astype(source)
        x[1:3] = -x[1:3] if np.dtype(source).kind in "fi" else x[1:3]
        for turned in (x, np.asfortranarray(x)):
            device = tc.device("cuda:0")
            y = device.empty(x.shape, target)
            there = device.upload(x) if turned is x else device.upload(x.T.copy()).T
            device.launch("elementwise.copy", there, y)
            np.testing.assert_array_equal(device.download(y), x.astype(target))

    @pytest.mark.parametrize("a, b, y", [
        ((1,), (33,), (33,)), ((), (4, 5), (4, 5)), ((3, 1), (3, 7), (3, 7)), ((7,), (3, 7), (3, 7)), ((), (), ()),
        ((3, 1, 5), (4, 1), (3, 4, 5)), ((1, 5, 1, 4, 1, 3), (2, 1, 2, 1, 2, 3), (2, 5, 2, 4, 2, 3)), ((257,),) * 3,
        ((40, 1), (40, 60), (40, 60))])
    @pytest.mark.parametrize("kernel", ["add", "sub", "mul", "div"])
    def test_arithmetic_broadcasts(self, kernel: str, a: Any, b: Any, y: Any) -> None:
        check(f"elementwise.{kernel}", normal(*a), normal(*b, seed=1) + 2, output(*y), tol=1e-6)

    @DTYPES
    @pytest.mark.parametrize("count", [*EDGES, 2049])
    def test_functions_of_one_operand(self, count: int, dtype: Any) -> None:
        """exp, log and power may be two units in the last place off, which is what CUDA promises of its own."""
        x, y = np.abs(normal(count, dtype=dtype)) + 0.1, output(count, dtype=dtype)
        check("elementwise.exp", x, y)
        check("elementwise.log", x, y)
        check("elementwise.power", x, y, exponent=-1.5)
        check("elementwise.scale", x, y, factor=0.25, tol=0)

    def test_an_output_may_be_an_operand(self) -> None:
        device, x = tc.device("cuda:0"), normal(5, 67)
        there = device.upload(x)
        device.launch("elementwise.add", there, there, there)
        np.testing.assert_array_equal(device.download(there), x + x)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
    def test_fill_of_a_view_leaves_the_rest(self, dtype: Any) -> None:
        device, expected = tc.device("cuda:0"), np.zeros((9, 40), dtype)
        y = device.upload(expected)
        device.launch("elementwise.fill", y[1::2, ::-3], value=1)
        expected[1::2, ::-3] = 1
        np.testing.assert_array_equal(device.download(y), expected)

    def test_nothing_is_copied_from_nowhere(self) -> None:
        run("elementwise.copy", np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
        run("elementwise.add", np.zeros((0, 3), np.float32), np.zeros((1, 3), np.float32), np.zeros((0, 3), np.float32))


class TestReduce:
    @pytest.mark.parametrize("shape", [(1,), (257,), (4097,), (40, 33), (4200, 3), (3, 4200), (2, 3, 4, 5),
                                       (2, 3, 2, 3, 2, 3, 2, 3)])
    @pytest.mark.parametrize("view", [lambda x: x, lambda x: x.T, lambda x: x[::-1]], ids=["dense", "turned", "back"])
    def test_any_axes_of_any_view(self, shape: tuple[int, ...], view: Callable[[Any], Any]) -> None:
        device, values = tc.device("cuda:0"), normal(*shape)
        values[values > 1.5] = 1.5  # so that there are several largest
        x, there = view(values), view(device.upload(values))
        every = [axes for n in range(1, x.ndim + 1) for axes in itertools.combinations(range(x.ndim), n)]
        for axes in every if x.ndim < 8 else [(0, 2, 4, 6), (1, 3, 5, 7), (0, 1, 2), (7,), (3, 4), every[-1]]:
            kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
            total, largest, gx = device.empty(kept), device.empty(kept), device.empty(x.shape)
            device.launch("reduce.sum", there, total, axes=axes)
            assert_close(device.download(total), x.sum(axis=axes, keepdims=True, dtype=np.float64), 1e-6, f"{axes}")
            device.launch("reduce.max", there, largest, axes=axes)
            np.testing.assert_array_equal(device.download(largest), x.max(axis=axes, keepdims=True))
            gy, expected = normal(*kept), output(*x.shape)
            device.launch("reduce.max_backward", there, largest, device.upload(gy), gx, axes=axes)
            tc.device("reference").launch("reduce.max_backward", x, x.max(axis=axes, keepdims=True), gy, expected,
                                          axes=axes)
            assert_close(device.download(gx), expected, 1e-6, f"{axes}")

    def test_a_gradient_that_is_a_view(self) -> None:
        device, x, gy = tc.device("cuda:0"), normal(3, 4, 5), normal(5, 4, 3)
        gx, expected = device.empty(x.shape), output(*x.shape)
        largest = x.max(axis=1, keepdims=True)
        device.launch("reduce.max_backward", device.upload(x), device.upload(largest), device.upload(gy).T[:, ::4], gx,
                      axes=(1,))
        tc.device("reference").launch("reduce.max_backward", x, largest, gy.T[:, ::4], expected, axes=(1,))
        assert_close(device.download(gx), expected, 1e-6)

    def test_nan_is_largest_and_nans_share(self) -> None:
        x = np.array([[1, math.nan, 3, math.nan], [-math.inf] * 4, [2, 2, 1, 0]], np.float32)
        _, y = run("reduce.max", x, output(3, 1), axes=(1,))
        np.testing.assert_array_equal(y.ravel(), [math.nan, -math.inf, 2])
        gx = run("reduce.max_backward", x, y, np.array([[8], [8], [8]], np.float32), output(3, 4), axes=(1,))[-1]
        assert gx.tolist() == [[0, 4, 0, 4], [2, 2, 2, 2], [4, 4, 0, 0]]

    def test_a_sum_is_taken_in_double_precision(self) -> None:
        """Added one by one in float32, 400,000 tenths are off by more than a percent."""
        tenths = np.full((100_000, 4), 0.1, np.float32)
        exact = math.fsum(tenths.ravel().tolist())
        assert run("reduce.sum", tenths, output(1, 1), axes=(0, 1))[1].item() == np.float32(exact)

    def test_the_sum_of_nothing_is_zero(self) -> None:
        assert run("reduce.sum", np.zeros((2, 0), np.float32), output(2, 1), axes=(1,))[1].tolist() == [[0], [0]]


@DTYPES
@pytest.mark.parametrize("count", [*EDGES, 4096, 4097])
class TestUpdate:
    def test_sgd_takes_the_steps_of_the_definition_bit_for_bit(self, count: int, dtype: Any) -> None:
        """A fused multiply-add would round once less: the kernel forbids it."""
        arrays = [normal(count, dtype=dtype, seed=seed) for seed in range(3)]
        options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
        expected = [a.copy() for a in arrays]
        tc.device("reference").launch("update.sgd", *expected, **options)
        for result, wanted in zip(run("update.sgd", *arrays, **options), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)

    def test_sum_of_squares(self, count: int, dtype: Any) -> None:
        """1e-15 of it: some hundred roundings, of which most cancel."""
        g = normal(count, dtype=dtype)
        total = run("update.sum_of_squares", g, output(dtype=np.float64))[1].item()
        assert total == pytest.approx(math.fsum(float(x) ** 2 for x in g), rel=1e-15 * 4)


@DTYPES
@pytest.mark.parametrize("count", EDGES)
def test_relu(count: int, dtype: Any) -> None:
    x, gy = normal(count, dtype=dtype), normal(count, dtype=dtype, seed=1)
    x[count // 2] = math.nan
    _, y = run("relu.forward", x, output(count, dtype=dtype))
    np.testing.assert_array_equal(y, np.where(x < 0, 0, x))
    gx = run("relu.backward", y, gy, output(count, dtype=dtype))[-1]
    np.testing.assert_array_equal(gx, np.where(y > 0, gy, 0))


WINDOW: dict[str, Any] = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
NORM: dict[str, Any] = {"size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0}
IMAGE, POOLED, MATRIX = (2, 8, 16, 64), (2, 8, 8, 32), (64, 256)
# Kernels that read each number with one thread, on rows that begin with a sector.
STREAMS: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
    "relu.forward": ([normal(*IMAGE)] * 2, {}),
    "relu.backward": ([normal(*IMAGE)] * 3, {}),
    "lrn.forward": ([normal(*IMAGE)] * 3, NORM),
    "lrn.backward": ([normal(*IMAGE)] * 5, NORM),
    "pool.max_forward": ([normal(*IMAGE), normal(*POOLED), output(*POOLED, dtype=np.uint8)], WINDOW),
    "pool.max_backward": ([normal(*POOLED), np.zeros(POOLED, np.uint8), normal(*IMAGE)], WINDOW),
    "pool.average_forward": ([normal(*IMAGE), normal(*POOLED)], {**WINDOW, "count_include_pad": True}),
    "pool.average_backward": ([normal(*POOLED), normal(*IMAGE)], {**WINDOW, "count_include_pad": True}),
    "pool.adaptive_average_forward": ([normal(*IMAGE), normal(2, 8, 2, 3)], {}),
    "pool.adaptive_average_backward": ([normal(2, 8, 2, 4), normal(*IMAGE)], {}),
    "dropout.apply": ([normal(*IMAGE)] * 2, {"p": 0.5, "seed": 1, "stream": 2, "step": 3, "first_sample": 4}),
    "elementwise.copy": ([normal(*IMAGE)] * 2, {}),
    "elementwise.fill": ([normal(*IMAGE)], {"value": 0.0}),
    "elementwise.add": ([normal(*IMAGE)] * 3, {}),
    "elementwise.exp": ([normal(*IMAGE)] * 2, {}),
    "reduce.sum": ([normal(*MATRIX), normal(64, 1)], {"axes": (1,)}),
    "reduce.sum of columns": ([normal(*MATRIX), normal(1, 256)], {"axes": (0,)}),
    "reduce.max_backward": ([normal(*MATRIX), normal(64, 1), normal(64, 1), normal(*MATRIX)], {"axes": (1,)}),
    "softmax_cross_entropy.softmax": ([normal(*MATRIX)] * 2, {}),
    "softmax_cross_entropy.softmax_backward": ([normal(*MATRIX)] * 3, {}),
    "softmax_cross_entropy.log_softmax_backward": ([normal(*MATRIX)] * 3, {}),
    "softmax_cross_entropy.forward": ([normal(*MATRIX), np.arange(64), normal(), normal(*MATRIX)],
                                      {"label_smoothing": 0.1}),
    "softmax_cross_entropy.backward": ([normal(*MATRIX), np.arange(64), normal(), normal(*MATRIX)],
                                       {"label_smoothing": 0.1}),
    "update.sgd": ([normal(*MATRIX)] * 3, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "update.sum_of_squares": ([normal(*MATRIX), normal(dtype=np.float64)], {}),
}
# Kernels whose neighbours read windows that overlap, in the cache.
WINDOWS: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
    "lrn_max_pool.backward": ([normal(*IMAGE), np.zeros(POOLED, np.uint8), normal(*POOLED), normal(*IMAGE)],
                              {**NORM, **WINDOW}),
}
# Those that AlexNet pools, and one of which a block has some rows.
POOLED_IMAGES = {(1, 3, 55, 55): 3, (1, 8, 27, 27): 3, (2, 16, 13, 13): 3, (1, 2, 112, 112): 2}


def traced(name: str, arrays: list[np.ndarray], options: dict[str, Any], block: int = 0) -> list[Any]:
    """What this block of each launch asks of global memory."""
    if not cuda.is_emulated():
        pytest.skip("only the emulator counts sectors")
    from tinyconv.emulator.trace import trace

    device = tc.device("cuda:0")
    there = [device.upload(a) for a in arrays]
    traces = trace(lambda: device.launch(name.split()[0], *there, **options), (block, 0, 0))
    return [request for each in traces for request in each.requests if request.place.space == "global"]


@pytest.mark.parametrize("name", STREAMS)
def test_every_request_is_for_as_few_sectors_as_hold_its_bytes(name: str) -> None:
    requests = traced(name, *STREAMS[name])
    assert requests and [(str(r.place), r.cost, r.ideal) for r in requests if r.cost != r.ideal] == []


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("shape", POOLED_IMAGES)
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("kernel", ["max", "average", "adaptive_average"])
def test_a_block_that_pools_touches_everything_once_in_whole_sectors(
        kernel: str, way: str, shape: tuple[int, ...], padding: int) -> None:
    """With windows of stride 2, and rows that begin anywhere in a sector.  So does what the second block makes: there
    some lanes wait, so that lane 0 always has the first element of a sector, and lane i the i-th behind it."""
    size = POOLED_IMAGES[shape]
    pooled = *shape[:2], *(output_size(n, size, 2, padding, False) for n in shape[2:])
    options: dict[str, Any] = {"kernel_size": (size, size), "stride": (2, 2), "padding": (padding, padding)}
    options = {"max": options, "average": {**options, "count_include_pad": True}, "adaptive_average": {}}[kernel]
    index = [np.zeros(pooled, np.uint8)] if kernel == "max" else []
    arrays = [normal(*shape), normal(*pooled), *index] if way == "forward" else [
        normal(*pooled), *index, normal(*shape)]
    first, second = (traced(f"pool.{kernel}_{way}", arrays, options, block) for block in (0, 1))
    names = {"x", "y"} if way == "forward" else {"gy", "gx"}
    assert [(str(r.place), r.cost, r.ideal) for r in first if r.cost != r.ideal] == []
    for requests in first, second:
        assert {r.place.array for r in requests} == names | ({"index"} if index else set())
        asked = [start for r in requests for start in r.lanes.values()]
        assert len(asked) == len(set(asked))
        assert all(start // r.nbytes % 32 == lane for r in requests for lane, start in r.lanes.items())


@pytest.mark.parametrize("result, source, cover, lanes, expected", [
    ((27, 27), (55, 55), Under(3, 2, 0), 1, Strip(27 * 27, 55 * 55)),  # a plane
    ((6, 6), (13, 13), Under(3, 2, 0), 1, Strip(14 * 6 * 6, 14 * 13 * 13)),  # as many as give 512 threads work
    ((1, 1), (7, 7), Part(), 32, Strip(16, 16 * 7 * 7)),  # 32 of them to a result
    ((2, 2), (34, 34), Part(), 1, Strip(3 * 2 * 2, 3 * 34 * 34)),  # as many as fit
    ((50, 30), (101, 61), Under(3, 2, 0), 1, Strip(30 * 30, 62 * 61)),  # 61 rows, or 62 of two planes
    ((101, 61), (50, 30), Over(3, 2, 0), 1, Strip(101 * 61, 50 * 30)),  # backward, gy is small
    ((224, 224), (112, 112), Over(2, 2, 0), 1, Strip(67 * 224, 34 * 112)),
    ((1, 4000), (3, 4000), Under(3, 1, 0), 1, Strip(4000, 3 * 4000)),  # more than is good, not more than there is
    ((1, 5000), (3, 5000), Under(3, 1, 0), 1, Strip(256)),
    ((1, 1), (224, 224), Part(), 32, Strip(8)),
    ((4, 4), (15, 15), Under(3, 4, 0), 1, Strip(256)),  # every fourth row is in no window
])
def test_how_a_result_is_cut_into_strips(result: Any, source: Any, cover: Any, lanes: int, expected: Strip) -> None:
    assert strip(result, source, cover, 4, lanes) == expected


def test_both_sides_of_a_transposition_are_read_in_whole_sectors() -> None:
    device = tc.device("cuda:0")
    if not cuda.is_emulated():
        pytest.skip("only the emulator counts sectors")
    from tinyconv.emulator.trace import statistics

    x, y = device.upload(normal(64, 96)), device.empty((96, 64))
    lines = statistics(lambda: device.launch("elementwise.copy", x.T, y))
    assert {line.place.space for line in lines} == {"global", "shared"}
    assert all(line.cost == line.ideal for line in lines)  # and no bank conflicts


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_read_nothing_that_they_do_not_use(name: str) -> None:
    """Of all sectors that a block touches, all bytes are asked for, but at the rims of its piece of the image; and it
    writes like the others."""
    requests = traced(name, *WINDOWS[name])
    for array in {r.place.array for r in requests}:
        own = [r for r in requests if r.place.array == array]
        touched = {sector for r in own for sector in r.sectors}
        asked = {byte for r in own for start in r.lanes.values() for byte in range(start, start + r.nbytes)}
        assert len(asked) >= 0.9 * 32 * len(touched), array
        assert all(r.cost == r.ideal for r in own if r.place.write), array


def test_arrays_without_elements() -> None:
    """A product without rows or columns is empty, one without depth is 0; and so is the norm of nothing."""
    for rows, depth, columns in ((0, 2, 3), (2, 3, 0), (2, 0, 3)):
        a = tc.tensor(np.ones((rows, depth)), "cuda:0", requires_grad=True)
        b = tc.tensor(np.ones((depth, columns)), "cuda:0", requires_grad=True)
        y = F.matmul(a, b)
        y.backward(np.ones((rows, columns)))
        np.testing.assert_array_equal(y.numpy(), np.ones((rows, depth)) @ np.ones((depth, columns)))
        np.testing.assert_array_equal(a.grad.numpy(), np.full((rows, depth), columns))
        np.testing.assert_array_equal(b.grad.numpy(), np.full((depth, columns), rows))
    empty, other = (tc.tensor(np.full((n, 3), 2.0), "cuda:0") for n in (0, 3))
    assert tc.optim.total_norm([empty]) == 0 and tc.optim.total_norm([empty, other]) == 6


def test_a_walk_along_a_million_channels() -> None:
    """More chunks of channels than a grid is tall."""
    x = normal(1, 2 ** 20, 1, 1)
    with checking(mode="fast", order="forward"):
        check("lrn.forward", x, output(*x.shape), output(*x.shape), size=3, alpha=1.0, beta=0.75, k=1.0)
