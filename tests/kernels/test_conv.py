"""Convolution: PyTorch agrees, finite differences agree, and so does a case worked out by hand."""

from typing import Any, NamedTuple
from unittest.mock import patch

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tinyconv.kernels import isa, tile
from tinyconv.kernels.conv import bands, direct, gradient, pointwise, reference, rows

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import agree, normal
from .plans import fresh_plans


class Case(NamedTuple):
    images: int
    size: tuple[int, int]
    channels: int  # per group, in and out
    filters: int
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    bias: bool
    layout: str

    def arrays(self) -> list[np.ndarray]:
        x = normal(1, self.images, self.channels * self.groups, *self.size)
        w = normal(2, self.filters * self.groups, self.channels, *self.kernel)
        return [x, w, normal(3, len(w))] if self.bias else [x, w]

    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small convolutions of every kind: one-pixel images, strides beyond the kernel, padding beyond the image ..."""
    def pair(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
        return st.tuples(st.integers(least, most), st.integers(least, most))

    size, padding = draw(pair(1, 8)), draw(pair(0, 3))
    kernel = tuple(draw(st.integers(1, min(5, n + 2 * p))) for n, p in zip(size, padding, strict=True))
    return Case(draw(st.integers(1, 3)), size, draw(st.integers(1, 4)), draw(st.integers(1, 4)),
                draw(st.integers(1, 3)), kernel, draw(pair(1, 4)), padding, draw(st.booleans()),
                draw(st.sampled_from(LAYOUTS)))


CHANNELS_ALONE = Case(2, (4, 5), 3, 5, 2, (1, 1), (1, 1), (0, 0), True, "usual")  # 1x1: a path of its own on the CPU
ONE_PIXEL = Case(1, (1, 1), 1, 1, 1, (1, 1), (3, 2), (0, 0), False, "usual")
# Lines longer than a tile is high: the lines of a window that lie in the padding are left out, of some windows all.
ABOVE = Case(2, (5, 31), 3, 5, 2, (5, 3), (1, 1), (3, 1), True, "usual")
BELOW = Case(1, (3, 40), 2, 33, 1, (4, 2), (2, 1), (5, 0), True, "usual")
VECTORS = Case(2, (9, 7), 16, 16, 1, (3, 3), (1, 1), (1, 1), True, "usual")  # of channels: pairs of lines take it
UNEVEN = Case(2, (7, 4), 2, 3, 2, (2, 3), (4, 1), (0, 2), True, "transposed")


@example(CHANNELS_ALONE)
@example(CHANNELS_ALONE._replace(layout="sliced"))
@example(ONE_PIXEL)
@example(UNEVEN)
@example(ABOVE)
@example(BELOW)
@example(VECTORS)
@given(case=cases())
def test_agrees_with_pytorch(device: str, torch: Any, case: Case) -> None:
    agree(torch, device, lambda *a: F.conv2d(*a, **case.options()),
          lambda *a: torch.nn.functional.conv2d(*a, **case.options()), case.arrays(), case.layout)


@example(Case(1, (6, 6), 1, 1, 1, (3, 3), (2, 2), (0, 0), True, "usual"))  # half a window left over
@example(Case(1, (3, 1), 1, 1, 1, (1, 1), (4, 4), (2, 1), True, "usual"))  # would begin in the right padding
@example(Case(1, (1, 1), 1, 1, 1, (1, 1), (1, 1), (0, 1), False, "usual"))  # never fewer windows than without
@given(case=cases())
def test_ceil_mode_agrees_with_pytorch_after_padding_by_hand(device: str, torch: Any, case: Case) -> None:
    """PyTorch has no ceil mode for convolutions: give it the zeros that the last windows reach, on the right and
    below."""
    extra = []
    for n, k, s, p in zip(case.size, case.kernel, case.stride, case.padding, strict=True):
        left_over = (n + 2 * p - k) % s  # pixels after the last whole window
        begin = n + 2 * p - left_over - k + s  # of the window after that
        # as in pooling, no window begins in the right padding
        extra.append(s - left_over if left_over and begin < n + p else 0)

    def theirs(x: Any, *rest: Any) -> Any:
        x = torch.nn.functional.pad(x, (0, extra[1], 0, extra[0]))
        return torch.nn.functional.conv2d(x, *rest, **case.options())

    agree(torch, device, lambda *a: F.conv2d(*a, **case.options(), ceil_mode=True), theirs, case.arrays(), case.layout)


@pytest.mark.parametrize("case", [
    CHANNELS_ALONE, UNEVEN,
    Case(2, (5, 4), 2, 2, 1, (3, 3), (2, 2), (1, 1), True, "usual"),
    Case(1, (3, 3), 1, 2, 3, (2, 2), (1, 1), (0, 0), False, "flipped"),
    Case(1, (1, 1), 2, 2, 1, (3, 3), (1, 1), (1, 1), True, "usual"),
])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_gradients_agree_with_finite_differences(device: str, case: Case, ceil_mode: bool) -> None:
    inputs = [place(a, device, case.layout, np.float64) for a in case.arrays()]
    assert tc.gradcheck(lambda *a: F.conv2d(*a, **case.options(), ceil_mode=ceil_mode), *inputs)


def test_by_hand(device: str) -> None:
    """A 3x3 image, two filters, stride 2, padding 1: every window holds a corner 2x2 of the image, at another
    corner."""
    x = tc.tensor(np.arange(1, 10).reshape(1, 1, 3, 3).astype("float32"), device, requires_grad=True)
    corner, total = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), np.ones((3, 3))
    w = tc.tensor(np.stack([corner, total])[:, None].astype("float32"), device, requires_grad=True)
    b = tc.tensor([0.5, -1.0], device, requires_grad=True)
    y = F.conv2d(x, w, b, stride=2, padding=1)
    # filter 0 picks x[0,0], x[0,2], x[2,0], x[2,2]; filter 1 sums 1+2+4+5, 2+3+5+6, 4+5+7+8, 5+6+8+9
    expected = [[[[1.5, 3.5], [7.5, 9.5]], [[11.0, 15.0], [23.0, 27.0]]]]
    np.testing.assert_array_equal(y.numpy(), expected)
    y.backward(np.array([[[[1, 2], [3, 4]], [[1, 1], [1, 1]]]]))
    # filter 0 sends its 1, 2, 3, 4 to the corners; filter 1 sends 1 per window that holds the pixel
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[2, 2, 3], [2, 4, 2], [4, 2, 5]])
    np.testing.assert_array_equal(b.grad.numpy(), [10, 4])
    # the centre tap of filter 0 saw the corners 1, 3, 7, 9 with weights 1, 2, 3, 4
    assert w.grad.numpy()[0, 0, 1, 1] == 1 + 2 * 3 + 3 * 7 + 4 * 9
    assert w.grad.numpy()[1, 0, 0, 0] == 5  # only the last window has an image pixel under its first tap


def test_ceil_mode_by_hand(device: str) -> None:
    """Four pixels, a window of 3, stride 2: floor gives one window, ceil a second one with two pixels and a zero."""
    x = tc.tensor([[[[1.0, 2.0, 4.0, 8.0]]]], device, requires_grad=True)
    w = tc.tensor([[[[1.0, 1.0, 1.0]]]], device)
    np.testing.assert_array_equal(F.conv2d(x, w, stride=(1, 2)).numpy(), [[[[7.0]]]])
    y = F.conv2d(x, w, stride=(1, 2), ceil_mode=True)
    np.testing.assert_array_equal(y.numpy(), [[[[7.0, 12.0]]]])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[[[1.0, 1.0, 2.0, 1.0]]]])


@pytest.mark.parametrize("size, outputs", [(224, 55), (225, 55), (227, 55), (228, 56)])
def test_ceil_mode_is_why_224_pixels_give_55(device: str, size: int, outputs: int) -> None:
    """11x11 windows 4 apart: (224 - 11) / 4 = 53.25, and cuda-convnet counted the window that is only partly filled.
    Of a column of ones, a window of ones sums the pixels that it really has: 11, but 8 where it reaches 3 past 224."""
    x, w = tc.tensor(np.ones((1, 1, size, 1)), device), tc.tensor(np.ones((1, 1, 11, 1)), device)
    y = F.conv2d(x, w, stride=4, ceil_mode=True).numpy().reshape(-1)
    inside = [min(size, 4 * p + 11) - 4 * p for p in range(outputs)]
    np.testing.assert_array_equal(y, inside)


def test_groups_are_separate_convolutions(device: str) -> None:
    x, w, b = normal(1, 2, 6, 5, 5), normal(2, 4, 3, 3, 3), normal(3, 4)
    whole = F.conv2d(*(tc.tensor(a, device, dtype="float64") for a in (x, w, b)), groups=2, padding=1)
    parts = [F.conv2d(*(tc.tensor(a, device, dtype="float64")
                        for a in (x[:, 3 * g:3 * g + 3], w[2 * g:2 * g + 2], b[2 * g:2 * g + 2])), padding=1)
             for g in range(2)]
    assert_close(whole.numpy(), F.cat(parts, axis=1).numpy())


def test_only_the_gradients_that_are_wanted(device: str) -> None:
    x, w, b = (tc.tensor(a, device) for a in (normal(1, 1, 2, 3, 3), normal(2, 2, 2, 3, 3), normal(3, 2)))
    b.requires_grad = True
    F.conv2d(x, w, b, padding=1).sum().backward()
    assert x.grad is None and w.grad is None
    np.testing.assert_array_equal(b.grad.numpy(), [9, 9])  # nine output pixels each


def test_a_batch_that_is_split_into_chunks_is_the_same(torch: Any) -> None:
    """The CPU kernel puts zeros around a few images at a time: 4 MiB of them.  130 images of 36x36 pixels with 8
    channels are 5.1 MiB in float32: a full chunk and one that is not.  The weight gradient has some 6 images in one."""
    arrays = [normal(1, 130, 8, 32, 32), normal(2, 4, 8, 5, 5), normal(3, 4)]
    agree(torch, "cpu", lambda *a: F.conv2d(*a, padding=2),
          lambda *a: torch.nn.functional.conv2d(*a, padding=2), arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("filters, groups", [(64, 1), (48, 1), (32, 2), (40, 1), (33, 3)])  # whole vectors, and not
@pytest.mark.parametrize("stride, padding, relu", [(1, 0, True), (1, 1, False), (2, 1, True)])
def test_results_that_go_past_the_caches_are_the_same(monkeypatch: pytest.MonkeyPatch, stride: int, padding: int,
                                                      relu: bool, filters: int, groups: int, dtype: str) -> None:
    """An image that counts as large is stored otherwise, not computed otherwise: bit for bit."""
    monkeypatch.setenv("TINYCONV_CONV", "direct")
    cpu, options = tc.device("cpu"), {"stride": (stride,) * 2, "padding": (padding,) * 2, "groups": groups}
    x, w, b = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate(
        [(3, 16 * groups, 15, 13), (filters * groups, 16, 3, 3), (filters * groups,)]))
    P, Q = ((n + 2 * padding - 3) // stride + 1 for n in x.shape[2:])
    gy = cpu.upload(normal(4, 3, len(w), P, Q).astype(dtype))
    results = []
    for large in (1 << 40, 0):
        monkeypatch.setattr(tile, "LARGE", large)
        y, gx = cpu.upload(np.full(gy.shape, np.nan, dtype)), cpu.upload(np.full_like(x, np.nan))
        cpu.launch("conv.forward", cpu.upload(x), w, b, y, relu=relu, **options)
        cpu.launch("conv.backward_input", gy, w, gx, **options)
        results.append((cpu.download(y), cpu.download(gx)))
    for usual, streamed in zip(*results, strict=True):
        np.testing.assert_array_equal(streamed, usual)
    expected = np.empty(gy.shape)
    reference.forward(x.astype(float), w.astype(float), b.astype(float), expected, relu=relu, **options)
    assert_close(results[1][0], expected, 1e-5, "y")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (4, 6)])
@pytest.mark.parametrize("channels, filters, kernel, groups", [
    (64, 96, (3, 3), 2), (256, 64, (1, 1), 1), (8, 64, (3, 3), 4), (20, 70, (3, 4), 1), (160, 21, (5, 2), 2)])
def test_weights_are_packed_for_every_phase(monkeypatch: pytest.MonkeyPatch, channels: int, filters: int,
                                            kernel: tuple[int, int], groups: int, stride: tuple[int, int],
                                            dtype: str) -> None:
    """Many weights and few pixels, against the definition: whole panels, narrow ones and parts of one."""
    monkeypatch.setenv("TINYCONV_CONV", "direct")
    cpu, options = tc.device("cpu"), {"stride": stride, "padding": (1, 0), "groups": groups}
    P, Q = (7 - kernel[0]) // stride[0] + 1, (6 - kernel[1]) // stride[1] + 1
    x, w, b, gy = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate(
        [(2, channels * groups, 5, 6), (filters * groups, channels, *kernel), (filters * groups,),
         (2, filters * groups, P, Q)]))
    expected = np.empty(gy.shape), np.empty(x.shape)
    reference.forward(x.astype(float), w.astype(float), b.astype(float), expected[0], **options)
    reference.backward_input(gy.astype(float), w.astype(float), expected[1], **options)
    y, gx = (cpu.upload(np.full_like(a, np.nan)) for a in (gy, x))
    cpu.launch("conv.forward", cpu.upload(x), w, b, y, **options)
    cpu.launch("conv.backward_input", cpu.upload(gy), w, gx, **options)
    for ours, theirs, name in zip((y, gx), expected, ("y", "gx"), strict=True):
        assert_close(ours, theirs, 1e-5 if dtype == "float32" else 1e-13, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels, filters, groups", [(32, 16, 1), (7, 5, 1), (16, 8, 3)])
@pytest.mark.parametrize("kernel, stride, padding", [((1, 1), (1, 1), (0, 0)), ((1, 1), (2, 3), (1, 2)),
                                                     ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 1), (0, 0))])
def test_tiles_of_fewer_rows_make_the_same(monkeypatch: pytest.MonkeyPatch, kernel: tuple[int, int],
                                           stride: tuple[int, int], padding: tuple[int, int], channels: int,
                                           filters: int, groups: int, dtype: str) -> None:
    """Pixels that the first cache would hold in one set go in tiles of fewer rows: bit for bit the same, and as the
    definition says."""
    monkeypatch.setenv("TINYCONV_CONV", "direct")
    cpu, options = tc.device("cpu"), {"stride": stride, "padding": padding, "groups": groups}
    P, Q = ((n + 2 * p - r) // s + 1 for n, p, r, s in zip((10, 11), padding, kernel, stride, strict=True))
    x, w, gy, mask = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate([
        (5, channels * groups, 10, 11), (filters * groups, channels, *kernel), *((5, filters * groups, P, Q),) * 2]))
    results = []
    for period, ways in (1 << 40, 8), (1, 4):
        monkeypatch.setattr(tile, "_PERIOD", period)
        monkeypatch.setattr(tile, "_WAYS", ways)
        assert tile.rows_apart(channels, x.itemsize) == (3 if period == 1 else isa.chosen().rows)
        y, gx = (cpu.upload(np.full_like(a, np.nan)) for a in (gy, x))
        with fresh_plans(rows), patch.object(rows, "_product", wraps=rows._product) as made:
            cpu.launch("conv.forward", cpu.upload(x), w, None, y, **options)
            cpu.launch("conv.backward_input", cpu.upload(gy), w, gx, cpu.upload(mask), **options)
        assert {call.args[-3] for call in made.call_args_list} == {tile.rows_apart(channels, x.itemsize)}
        results.append((cpu.download(y), cpu.download(gx)))
    expected = np.empty(gy.shape), np.empty(x.shape)
    reference.forward(x.astype(float), w.astype(float), None, expected[0], **options)
    reference.backward_input(gy.astype(float), w.astype(float), expected[1], mask, **options)
    for usual, fewer, right, name in zip(*results, expected, ("y", "gx"), strict=True):
        np.testing.assert_array_equal(fewer, usual)
        assert_close(fewer, right, 1e-5 if dtype == "float32" else 1e-13, name)


@pytest.mark.parametrize("channels, filters, groups", [(40, 70, 1), (9, 20, 2), (16, 32, 1)])
def test_taps_in_pieces_give_the_same_weight_gradient(monkeypatch: pytest.MonkeyPatch, channels: int, filters: int,
                                                      groups: int) -> None:
    """A task takes a line of the window or all of it, by how many tasks there are: bit for bit the same, for one chunk
    of images and for several."""
    monkeypatch.setenv("TINYCONV_CONV", "direct")
    x, gy = (normal(seed, 3, *shape).astype(np.float32)
             for seed, shape in enumerate([(channels * groups, 9, 8), (filters * groups, 7, 7)]))
    cpu, options = tc.device("cpu"), {"stride": (1, 1), "padding": (0, 1), "groups": groups}
    expected = np.empty((filters * groups, channels, 3, 4))
    reference.backward_weight(x.astype(float), gy.astype(float), expected, None, **options)
    for chunk in (gradient._CHUNK, 0):
        monkeypatch.setattr(gradient, "_CHUNK", chunk)
        results = []
        for in_pieces in (False, True):
            monkeypatch.setattr(gradient, "uneven", lambda tasks, threads, in_pieces=in_pieces: in_pieces)
            results.append(np.full(expected.shape, np.nan, np.float32))
            with fresh_plans(gradient):
                cpu.launch("conv.backward_weight", cpu.upload(x), cpu.upload(gy), results[-1], None, **options)
        np.testing.assert_array_equal(*results)
        assert_close(results[0], expected, 1e-5, "gw")


@pytest.mark.parametrize("kernel, stride, padding", [
    (11, 4, 0), (7, 2, 3), (3, 1, 1), (2, 3, 2), ((1, 4), (2, 5), (0, 6))])
@pytest.mark.parametrize("channels, groups", [(3, 1), (1, 1), (7, 1), (2, 3)])
@pytest.mark.parametrize("cache", [1, 20_000, 300 << 10])  # bytes: a row at a time, a few, all
def test_images_of_few_channels(monkeypatch: pytest.MonkeyPatch, cache: int, channels: int, groups: int, kernel: Any,
                                stride: Any, padding: Any) -> None:
    """The gradients of a first layer, cut in all ways, against the definition in float64."""
    monkeypatch.setattr(bands, "_CACHE", cache)
    monkeypatch.setattr(direct, "_FRAMES", cache)
    kernel, stride, padding = ((a, a) if isinstance(a, int) else a for a in (kernel, stride, padding))
    cpu, (N, H, W, K) = tc.device("cpu"), (5, 33, 38, 20 * groups)
    P, Q = ((n + 2 * p - r) // s + 1 for n, p, r, s in zip((H, W), padding, kernel, stride, strict=True))
    x, w = normal(1, N, channels * groups, H, W), normal(2, K, channels, *kernel)
    gy, y = normal(3, N, K, P, Q), normal(4, N, K, P, Q)
    options = {"stride": stride, "padding": padding, "groups": groups}
    gx, gw = np.empty(x.shape), np.empty(w.shape)
    reference.backward_input(gy.astype(float), w.astype(float), gx, y, **options)
    reference.backward_weight(x.astype(float), gy.astype(float), gw, None, y, **options)
    x, gy, y, our_gx = (cpu.upload(a) for a in (x, gy, y, np.full_like(x, np.nan)))
    our_gw = np.full_like(w, np.nan)
    with fresh_plans(direct):
        cpu.launch("conv.backward_input", gy, w, our_gx, y, **options)
    cpu.launch("conv.backward_weight", x, gy, our_gw, None, y, **options)
    assert_close(our_gx, gx, 1e-5, "gx")
    assert_close(our_gw, gw, 1e-5, "gw")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels, filters, groups", [(40, 32, 1), (17, 96, 2), (40, 24, 1), (3, 20, 3), (64, 1, 1)])
@pytest.mark.parametrize("images, stride", [(1, (1, 1)), (7, (1, 1)), (3, (2, 3))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_tap_alone(monkeypatch: pytest.MonkeyPatch, dtype: str, images: int, stride: tuple[int, int], channels: int,
                       filters: int, groups: int, masked: bool) -> None:
    """1x1, every pass: filters and channels of whole vectors and not, in one task and in several; pixels in one block
    and in several of which the last is not full."""
    for name, value in ("_BLOCK", 20), ("_CACHE", 20 * 62 * np.dtype(dtype).itemsize):
        monkeypatch.setattr(pointwise, name, value)
    P, Q = -(-5 // stride[0]), -(-9 // stride[1])
    shapes = (images, channels * groups, 5, 9), *((images, filters * groups, P, Q),) * 2, (filters * groups, channels,
                                                                                          1, 1)
    x, gy, y, w, b = (normal(seed, *shape).astype(dtype)
                      for seed, shape in enumerate((*shapes, (filters * groups,))))
    options = {"stride": stride, "padding": (0, 0), "groups": groups}
    expected = [np.empty(a.shape) for a in (gy, x, w, b)]
    wide = [a.astype(float) for a in (x, w, b, gy, y)]
    mask = wide[4] if masked else None
    reference.forward(*wide[:3], expected[0], relu=masked, **options)
    reference.backward_input(wide[3], wide[1], expected[1], mask, **options)
    reference.backward_weight(wide[0], wide[3], expected[2], expected[3], mask, **options)
    cpu = tc.device("cpu")
    results = (cpu.empty(gy.shape, gy.dtype), cpu.empty(x.shape, x.dtype), np.full_like(w, np.nan),
               np.full_like(b, np.nan))
    on_cpu = [cpu.upload(a) for a in (x, gy, y)]
    last = on_cpu[2] if masked else None
    cpu.launch("conv.forward", on_cpu[0], w, b, results[0], relu=masked, **options)
    cpu.launch("conv.backward_input", on_cpu[1], w, results[1], last, **options)
    with fresh_plans(pointwise):
        cpu.launch("conv.backward_weight", on_cpu[0], on_cpu[1], results[2], results[3], last, **options)
    for ours, theirs in zip(results, expected, strict=True):
        assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("images, channels, filters, groups, stride", [
    (3, 32, 20, 1, (1, 1)), (3, 16, 7, 3, (1, 1)),  # where x lies, if its channels are whole vectors
    (3, 35, 20, 1, (1, 1)), (5, 32, 20, 1, (2, 3))])  # copied
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_tap_in_bands(monkeypatch: pytest.MonkeyPatch, few_threads: None, dtype: str, images: int, channels: int,
                          filters: int, groups: int, stride: tuple[int, int], masked: bool) -> None:
    """Pixels in bands, of several blocks, and all together: the definition's sums; and in bands the same bits with any
    number of threads."""
    P, Q = -(-9 // stride[0]), -(-11 // stride[1])
    x, gy, y = (normal(seed, *shape).astype(dtype) for seed, shape in enumerate([
        (images, channels * groups, 9, 11), *((images, filters * groups, P, Q),) * 2]))
    cpu, options = tc.device("cpu"), {"stride": stride, "padding": (0, 0), "groups": groups}
    expected = np.empty((filters * groups, channels, 1, 1))
    reference.backward_weight(x.astype(float), gy.astype(float), expected, None, y if masked else None, **options)
    arrays = [cpu.upload(a) for a in (x, gy)]
    last = cpu.upload(y) if masked else None
    monkeypatch.setattr(pointwise, "_BLOCK", 30)
    plan, results = pointwise._plan, []
    for small, threads, parts in (1e9, 1, (1, 1)), (0, 1, (1, 1)), (0, 2, (1, 1)), (0, 2, (2, 2)):
        monkeypatch.setattr(pointwise, "_SMALL", small)
        # More threads than bands share out parts, too.
        monkeypatch.setattr(pointwise, "_plan", lambda *args, cut=parts: (*(made := plan(*args))[:3], cut, *made[4:]))
        numba.set_num_threads(threads)
        gw = np.full(expected.shape, np.nan, dtype)
        plan.cache_clear()
        cpu.launch("conv.backward_weight", *arrays, gw, None, last, **options)
        bands, _, there, *_ = plan(images * P * Q, gw.shape, stride, groups, gw.dtype, threads)
        plan.cache_clear()
        assert bands == (1 if small else pointwise._BANDS)
        assert there == (small == 0 and stride == (1, 1) and channels % isa.chosen().lanes(gw.itemsize) == 0)
        assert_close(gw, expected, 1e-5 if dtype == "float32" else 1e-13, "gw")
        results.append(gw)
    np.testing.assert_array_equal(results[1], results[2])
    np.testing.assert_array_equal(results[1], results[3])


@pytest.mark.parametrize("stride", [(2 ** 31 - 1, 3), (5, 10 ** 9)])
def test_a_stride_far_beyond_the_image(stride: tuple[int, int]) -> None:
    gradients = []
    for device in ("cpu", "reference"):
        x, w = (tc.tensor(normal(i, *shape), device, requires_grad=True)
                for i, shape in enumerate([(2, 9, 6, 7), (4, 9, 3, 2)]))
        y = F.conv2d(x, w, stride=stride, padding=2)
        y.backward(normal(3, *y.shape))
        gradients.append((y.numpy(), x.grad.numpy(), w.grad.numpy()))
    for ours, right in zip(*gradients, strict=True):
        assert_close(ours, right, 1e-5)
