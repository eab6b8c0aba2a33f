"""Winograd's convolution, called directly, against the definition in float64; and how all three ways round."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tinyconv.kernels import isa
from tinyconv.kernels.conv import choice, reference, winograd
from tinyconv.kernels.conv.tiling import corner, having, sort, tiles_of
from tinyconv.kernels.conv.transforms import POINTS, g_transposed_both
from tinyconv.kernels.layout import channels_last
from tinyconv.kernels.runs import where

import tinyconv as tc

from ..closeness import assert_close
from ..witness import normal
from .plans import bad_scratch, convolve, fresh_plans

CPU = tc.device("cpu")
# Of the largest element.  The transforms multiply by up to 21, forth and back, and add up numbers that cancel: a factor
# of about ten on top of what a direct sum loses.
TOL = {"float32": 5e-5, "float64": 1e-12}


class Case(NamedTuple):
    images: int
    size: tuple[int, int]
    channels: int  # per group, in and out
    filters: int
    groups: int
    taps: int
    padding: tuple[int, int]
    dtype: str = "float64"
    heights: int = 8  # of a block at most, in register tiles; in the weight gradient, in tiles

    @property
    def outputs(self) -> tuple[int, int]:
        h, w = (n + 2 * p - self.taps + 1 for n, p in zip(self.size, self.padding, strict=True))
        return h, w

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": (1, 1), "padding": self.padding, "groups": self.groups}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    taps = draw(st.sampled_from([3, 5]))
    padding = draw(st.tuples(*[st.integers(0, taps + 1)] * 2))
    size = tuple(draw(st.integers(max(1, taps - 2 * p), 15)) for p in padding)
    channels, filters = (draw(st.one_of(st.integers(1, 5), st.sampled_from([16, 31, 33]))) for _ in range(2))
    return Case(draw(st.integers(1, 4)), (size[0], size[1]), channels, filters, draw(st.integers(1, 3)), taps, padding,
                draw(st.sampled_from(["float32", "float64"])), draw(st.sampled_from([1, 2, 7, 1000])))


def _draw(case: Case) -> tuple[np.ndarray, ...]:
    """x, weight, bias, gy, and an array like gy of which half is not positive: rounded to the case's precision."""
    K, outputs = case.filters * case.groups, (case.images, case.filters * case.groups, *case.outputs)
    arrays = (normal(1, case.images, case.channels * case.groups, *case.size),
              normal(2, K, case.channels, case.taps, case.taps), normal(3, K), normal(4, *outputs), normal(5, *outputs))
    return tuple(a.astype(case.dtype) for a in arrays)


EXAMPLES = (
    Case(1, (1, 1), 1, 1, 1, 3, (1, 1)),
    Case(2, (5, 9), 70, 67, 1, 3, (1, 0)),  # more channels than are transformed at a time
    Case(2, (6, 5), 130, 3, 1, 5, (2, 2), "float32"),
    Case(5, (13, 7), 17, 33, 2, 3, (0, 4), "float32", 1),  # several blocks, the last one partly full
    Case(5, (7, 8), 3, 16, 3, 5, (6, 4), "float64", 1),
    Case(3, (14, 13), 5, 9, 2, 3, (1, 1), "float64", 1),  # blocks whose tiles are of one size, and of several
    Case(2, (27, 7), 20, 6, 1, 5, (2, 2), "float32"),
    Case(1, (14, 14), 80, 48, 1, 3, (0, 0), "float32"),  # whole vectors: tiles that are read where they lie
    Case(2, (15, 14), 48, 32, 2, 5, (1, 2), "float64"),
)


def _examples(test: Any) -> Any:
    for case, masked in itertools.product(EXAMPLES, (False, True)):
        test = example(case=case, masked=masked)(test)
    return test


def _both_ways(test: Any) -> Any:
    for case, masked, by_panels in itertools.product(EXAMPLES, (False, True), (False, True)):
        test = example(case=case, masked=masked, by_panels=by_panels)(test)
    return test


@contextmanager
def _way(case: Case, by_panels: bool) -> Iterator[None]:
    """By blocks of so few tiles, or by panels of filters, whatever would be quicker."""
    with (patch.multiple(winograd, _MANY=case.heights, _DEEP=case.heights),
          patch.object(winograd, "_large", lambda *shape: by_panels),
          patch.object(winograd, "_by_panels", lambda *layer: by_panels), fresh_plans(winograd)):
        yield


def _up(image: np.ndarray) -> np.ndarray:
    """As kernels inside of convolution take it: (N, H, W, C)."""
    return channels_last(CPU.upload(image))


@_both_ways
@given(case=cases(), masked=st.booleans(), by_panels=st.booleans())
def test_forward(case: Case, masked: bool, by_panels: bool) -> None:
    x, w, b, gy, _ = _draw(case)
    bias = b if masked else None
    expected = np.empty(gy.shape)
    reference.forward(x.astype(float), w.astype(float), bias, expected, relu=masked, **case.options)
    with _way(case, by_panels):
        y = CPU.upload(np.full_like(gy, np.nan))
        convolve(winograd, x, None, w, bias, y, case.padding, case.groups, relu=masked)
    assert_close(y, expected, TOL[case.dtype])


@_both_ways
@given(case=cases(), masked=st.booleans(), by_panels=st.booleans())
def test_backward_input(case: Case, masked: bool, by_panels: bool) -> None:
    x, w, _, gy, y = _draw(case)
    mask = y if masked else None
    expected = np.empty(x.shape)
    reference.backward_input(gy.astype(float), w.astype(float), expected, mask, **case.options)
    with _way(case, by_panels):
        gx = CPU.upload(np.full_like(x, np.nan))
        convolve(winograd, gy, mask, w, None, gx, case.padding, case.groups, backwards=True)
    assert_close(gx, expected, TOL[case.dtype])


@_examples
@given(case=cases(), masked=st.booleans())
def test_backward_weight(case: Case, masked: bool) -> None:
    x, w, _, gy, y = _draw(case)
    mask = y if masked else None
    expected, gw = np.empty(w.shape), np.full_like(w, np.nan)
    reference.backward_weight(x.astype(float), gy.astype(float), expected, None, mask, **case.options)
    with patch.multiple(winograd, _MANY=case.heights, _DEEP=case.heights), fresh_plans(winograd):
        winograd.backward_weight(_up(x), _up(gy), gw, None if mask is None else _up(y), (1, 1), case.padding,
                                 case.groups, bad_scratch)
    assert_close(gw, expected, TOL[case.dtype])


@numba.njit
def _weights_of(v: np.ndarray, v_places: np.ndarray, gw: np.ndarray, gw_places: np.ndarray, size: int) -> None:
    g_transposed_both(v.dtype, 6, 6, 3, 3, where(v, 0), where(v_places, 0), where(gw, 0), where(gw_places, 0), size, ())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 4, 8, 20])
def test_fewer_filters_than_a_vector_holds_are_transformed(size: int, dtype: str) -> None:
    """The transforms take the processor's vectors, but with TINYCONV_ISA a panel may be narrower than those."""
    v, w = normal(1, 6, 6, 32).astype(dtype), np.zeros((3, 3, 32), dtype)
    places = [np.zeros((POINTS, POINTS), np.int64) for _ in range(2)]
    for table, n in zip(places, (6, 3), strict=True):
        table[:n, :n] = np.arange(n * n).reshape(n, n) * 32
    _weights_of(v, places[0], w, places[1], size)
    powers = ([f, f * a, f * a * a] for a, f in ((1, -1 / 6), (-1, -1 / 6), (2, 1 / 24), (-2, 1 / 24)))
    g = np.array([[1 / 4, 0, 0], *powers, [0, 0, 1]])
    assert_close(w[..., :size], np.einsum("ia, jb, ijc -> abc", g, g, v.astype(float))[..., :size], TOL[dtype])


@pytest.mark.parametrize("images, channels, filters, groups", [(1, 200, 260, 1), (3, 190, 100, 2), (2, 70, 400, 1)])
def test_with_large_weights_it_goes_by_panels_and_no_bit_changes(few_threads: None, images: int, channels: int,
                                                                 filters: int, groups: int) -> None:
    """Nothing is patched here but what must not decide on a bit: the way, which depends on the number of threads."""
    case = Case(images, (7, 9), channels, filters, groups, 3, (1, 1), "float32")
    x, w, b, gy, _ = _draw(case)
    y, gx = CPU.upload(np.empty_like(gy)), CPU.upload(np.empty_like(x))

    def both() -> bytes:
        convolve(winograd, x, None, w, b, y, case.padding, groups, relu=True)
        convolve(winograd, gy, y, w, None, gx, case.padding, groups, backwards=True)
        return y.tobytes() + gx.tobytes()

    with patch.object(winograd.panels, "convolve", wraps=winograd.panels.convolve) as by_panels:
        first = both()
    assert by_panels.call_count == 2
    with patch.object(winograd, "_by_panels", lambda *layer: False):
        assert both() == first


# What the lesson (kernels/conv/README.md) promises of float32, in units of the largest element.
BOUNDS = {"direct": 1e-5, "pairs": 1e-5, "winograd": 5e-5}


@pytest.mark.parametrize("algorithm, taps", [
    ("direct", 3), ("direct", 5), ("pairs", 3), ("winograd", 3), ("winograd", 5)])
@pytest.mark.parametrize("channels", [16, 128, 512])
def test_rounding_stays_within_the_bounds(monkeypatch: pytest.MonkeyPatch, channels: int, taps: int,
                                          algorithm: str) -> None:
    """All three passes, of normal numbers and of positive ones, whose sums grow and do not cancel."""
    monkeypatch.setenv("TINYCONV_CONV", algorithm)
    case = Case(2, (9, 11), channels, 32, 1, taps, (taps // 2, taps // 2), "float32")
    for positive in (False, True):
        x, w, _, gy, _ = (abs(a) if positive else a for a in _draw(case))
        x64, w64, gy64 = (a.astype(float) for a in (x, w, gy))
        expected = [np.empty(a.shape) for a in (gy, x, w)]
        reference.forward(x64, w64, None, expected[0], **case.options)
        reference.backward_input(gy64, w64, expected[1], **case.options)
        reference.backward_weight(x64, gy64, expected[2], None, **case.options)
        y, gx, gw = CPU.upload(np.empty_like(gy)), CPU.upload(np.empty_like(x)), np.empty_like(w)
        CPU.launch("conv.forward", CPU.upload(x), w, None, y, **case.options)
        CPU.launch("conv.backward_input", CPU.upload(gy), w, gx, **case.options)
        CPU.launch("conv.backward_weight", CPU.upload(x), CPU.upload(gy), gw, None, **case.options)
        for what, ours, theirs in zip(("y", "gx", "gw"), (y, gx, gw), expected, strict=True):
            assert_close(ours, theirs, BOUNDS[algorithm], what)


@pytest.mark.parametrize("taps, stride, possible", [
    ((3, 3), (1, 1), True), ((5, 5), (1, 1), True), ((1, 1), (1, 1), False), ((7, 7), (1, 1), False),
    ((3, 5), (1, 1), False), ((3, 3), (2, 2), False), ((5, 5), (1, 2), False)])
def test_where_it_is_possible(monkeypatch: pytest.MonkeyPatch, taps: Any, stride: Any, possible: bool) -> None:
    x, w, y = np.empty((1, 4, 9, 9)), np.empty((4, 4, *taps)), np.empty((1, 4, 5, 5))
    monkeypatch.setenv("TINYCONV_CONV", "winograd")
    for which in choice.PASSES:
        assert (choice.algorithm(which, x, w, y, stride, 1) == "winograd") is possible
    monkeypatch.setenv("TINYCONV_CONV", "direct")
    assert choice.algorithm(choice.FORWARD, x, w, y, stride, 1) == "direct"


def test_an_unknown_algorithm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYCONV_CONV", "fft")
    x, w = tc.tensor(normal(1, 1, 2, 5, 5)), tc.tensor(normal(2, 2, 2, 3, 3))
    with pytest.raises(ValueError, match="TINYCONV_CONV is 'fft'; use one of direct, pairs, winograd, or unset it"):
        tc.functional.conv2d(x, w)


@pytest.mark.parametrize("taps, images, size, channels, filters, groups, expected", [
    (3, 1, 8, 40, 40, 1, False), (3, 1, 16, 40, 40, 1, True),  # 64 pixels, and 256
    (3, 1, 16, 39, 39, 1, False), (3, 1, 16, 80, 80, 2, True),  # the channels of a group count
    (3, 1, 16, 32, 53, 1, False), (3, 1, 16, 32, 54, 1, True), (3, 1, 16, 54, 32, 1, True),  # 2*32*54 / 86 = 40.2
    (3, 6, 7, 52, 52, 1, False), (3, 6, 7, 53, 53, 1, True),  # 144 products for 49 pixels, not 110: 0.766 of 53 is 40.6
    (3, 2, 13, 37, 37, 1, False), (3, 2, 13, 38, 38, 1, True),  # 361 for 169, not 380: 1.053 of 38 is 40.0
    (5, 6, 7, 45, 45, 1, False), (5, 6, 7, 46, 46, 1, True)])  # 225 for 49, not 196: 0.871 of 46 is 40.1
def test_the_table_is_for_layers_like_those_it_was_measured_on(
        monkeypatch: pytest.MonkeyPatch, taps: int, images: int, size: int, channels: int, filters: int, groups: int,
        expected: bool) -> None:
    monkeypatch.delenv("TINYCONV_CONV", raising=False)
    monkeypatch.setattr(choice, "TABLE", {(isa.chosen().name, which, taps, g): ((40, 256), (1000, 1))
                                          for which in choice.PASSES for g in (1, 2)})
    result, other = np.empty((images, filters, size, size)), np.empty((images, channels, 3 * size, size))
    w = np.empty((filters, channels // groups, taps, taps))
    for which in choice.PASSES:  # what has tiles is the result: of the weight gradient, gy
        x, y = (result, other) if which == choice.INPUT else (other, result)
        assert (choice.algorithm(which, x, w, y, (1, 1), groups) == "winograd") is expected


@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), taps=st.sampled_from([3, 5]))
def test_tiles_cover_an_image_with_the_fewest_products(size: tuple[int, int], taps: int) -> None:
    tiles = tiles_of(size, taps)
    small = 4 if taps == 3 else 3
    for pixels, count, larger in (size[0], tiles.down, tiles.larger_down), (size[1], tiles.right, tiles.larger_right):
        assert pixels <= count * small + larger
        points = count * (small + taps - 1) + larger
        assert points == min(a * (small + taps - 1) + b * (small + taps) for a in range(21) for b in range(21)
                             if a * small + b * (small + 1) >= pixels)
    assert tiles.n == small + taps - 1 + (tiles.larger_down > 0 or tiles.larger_right > 0)


@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), taps=st.sampled_from([3, 5]), images=st.integers(1, 3),
       data=st.data())
def test_the_tiles_that_have_a_place_follow_each_other(size: tuple[int, int], taps: int, images: int,
                                                       data: st.DataObject) -> None:
    tiles = tiles_of(size, taps)
    count = images * tiles.count
    first = data.draw(st.integers(0, count - 1))
    corners = [corner(t, tiles) for t in range(count)]
    pixels = np.zeros((images, size[0] + 4, size[1] + 4), int)
    for n, top, left, p, q in corners:
        pixels[n, top:top + p, left:left + q] += 1
    assert (pixels[:, :size[0], :size[1]] == 1).all()
    order = np.empty(data.draw(st.integers(1, count - first)), np.int64)
    ends = sort(order, first, tiles)
    assert sorted(order) == list(range(first, first + order.size))
    for i, j in itertools.product(range(tiles.n), repeat=2):
        low, high = having(i * tiles.n + j, ends, tiles)
        for row, (_, _, _, p, q) in enumerate(corners[t] for t in order):
            assert (low <= row < high) == (p + taps - 1 > i and q + taps - 1 > j)
