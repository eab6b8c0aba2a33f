"""Pairs of lines (Winograd's F(2, 3) down an image), called directly, against the definition in float64."""

import itertools
from typing import Any, NamedTuple
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tinyconv.kernels import isa, tile
from tinyconv.kernels.conv import choice, pairs, reference

import tinyconv as tc

from ..closeness import assert_close
from ..witness import normal
from .plans import convolve

CPU = tc.device("cpu")
# Of the largest element: what the lesson (kernels/conv/README.md) promises, the same as of the direct way.
TOL = {"float32": 1e-5, "float64": 1e-13}


class Case(NamedTuple):
    images: int
    size: tuple[int, int]  # of x
    channels: int  # of what is convolved: x, or gy
    vectors: int  # of channels of the result
    padding: tuple[int, int]
    dtype: str = "float64"

    @property
    def results(self) -> int:
        return self.vectors * isa.chosen().lanes(np.dtype(self.dtype).itemsize)

    @property
    def outputs(self) -> tuple[int, int]:
        h, w = (n + 2 * p - 2 for n, p in zip(self.size, self.padding, strict=True))
        return h, w

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": (1, 1), "padding": self.padding, "groups": 1}

    def draw(self, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        return [normal(seed, *shape).astype(self.dtype) for seed, shape in enumerate(shapes)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    padding = draw(st.tuples(*[st.integers(0, 4)] * 2))
    height, width = (draw(st.integers(max(1, 3 - 2 * p), 33)) for p in padding)
    channels = draw(st.one_of(st.integers(1, 5), st.sampled_from([16, 31])))
    return Case(draw(st.integers(1, 4)), (height, width), channels, draw(st.integers(1, 5)), padding,
                draw(st.sampled_from(["float32", "float64"])))


EXAMPLES = (
    Case(1, (1, 1), 1, 1, (1, 1)),  # a line without a second one, of a pixel
    Case(2, (9, 8), 3, 2, (1, 1), "float32"),  # an odd number of lines
    Case(3, (6, 40), 5, 3, (0, 2)),  # several tiles in a line, and a narrow panel
    Case(2, (3, 3), 2, 5, (4, 3), "float32"),  # lines that see nothing
)


def _examples(test: Any) -> Any:
    for case, with_more in itertools.product(EXAMPLES, (False, True)):
        test = example(case=case, with_more=with_more)(test)
    return test


@_examples
@given(case=cases(), with_more=st.booleans())
def test_forward(case: Case, with_more: bool) -> None:
    """``with_more``: with a bias and a ReLU."""
    x, w, b = case.draw((case.images, case.channels, *case.size), (case.results, case.channels, 3, 3), (case.results,))
    bias, expected = b if with_more else None, np.empty((case.images, case.results, *case.outputs))
    reference.forward(x.astype(float), w.astype(float), bias, expected, relu=with_more, **case.options)
    y = CPU.upload(np.full(expected.shape, np.nan, case.dtype))
    convolve(pairs, x, None, w, bias, y, case.padding, relu=with_more)
    assert_close(y, expected, TOL[case.dtype])


@_examples
@given(case=cases(), with_more=st.booleans())
def test_backward_input(case: Case, with_more: bool) -> None:
    """``with_more``: behind a ReLU."""
    gy, w, y = case.draw((case.images, case.channels, *case.outputs), (case.channels, case.results, 3, 3),
                         (case.images, case.channels, *case.outputs))
    mask, expected = y if with_more else None, np.empty((case.images, case.results, *case.size))
    reference.backward_input(gy.astype(float), w.astype(float), expected, mask, **case.options)
    gx = CPU.upload(np.full(expected.shape, np.nan, case.dtype))
    convolve(pairs, gy, mask, w, None, gx, case.padding, backwards=True)
    assert_close(gx, expected, TOL[case.dtype])


@pytest.mark.parametrize("size", [(8, 31), (7, 14)])
@pytest.mark.parametrize("vectors", [2, 3, 16])  # of which 3 are no whole lines with AVX2, and do not stream
def test_results_that_go_past_the_caches_are_the_same(monkeypatch: pytest.MonkeyPatch, vectors: int,
                                                      size: tuple[int, int]) -> None:
    """Bit for bit, also where the last line has no second one."""
    address = Mock(wraps=tile.address)
    monkeypatch.setattr(tile, "address", address)
    case = Case(2, size, 3, vectors, (1, 1), "float32")
    x, w, b = case.draw((2, 3, *size), (case.results, 3, 3, 3), (case.results,))
    results = []
    for large in (1 << 40, 0):
        monkeypatch.setattr(tile, "LARGE", large)
        y = CPU.upload(np.full((2, case.results, *size), np.nan, np.float32))
        convolve(pairs, x, None, w, b, y, case.padding, relu=True)
        results.append(CPU.download(y))
        whole = case.results * 4 % 64 == 0  # cache lines
        assert address.call_args.kwargs["streams"] is (large == 0 and whole)
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("taps, stride, groups, results, possible", [
    (3, 1, 1, 64, True), (3, 1, 1, 62, False), (5, 1, 1, 64, False), (3, 2, 1, 64, False), (3, 1, 2, 64, False),
    (1, 1, 1, 64, False)])
def test_where_they_are_possible(monkeypatch: pytest.MonkeyPatch, taps: int, stride: int, groups: int, results: int,
                                 possible: bool) -> None:
    """Of the passes, all but the weight gradient."""
    monkeypatch.setenv("TINYCONV_CONV", "pairs")
    source, result = (np.empty((1, channels, 9, 9), np.float32) for channels in (4, results))
    for which in choice.PASSES:
        x, y = (result, source) if which == choice.INPUT else (source, result)
        w = np.empty((y.shape[1], x.shape[1] // groups, taps, taps), np.float32)
        way = choice.algorithm(which, x, w, y, (stride, stride), groups)
        assert way == ("pairs" if possible and which != choice.WEIGHT else "direct"), which


@pytest.mark.parametrize("which, channels, expected", [
    ("forward", 3, "pairs"), ("forward", 32, "pairs"), ("forward", 33, "direct"), ("input gradient", 16, "pairs"),
    ("inference", 256, "pairs"), ("inference", 257, "direct"), ("weight gradient", 3, "direct")])
def test_they_are_chosen_for_few_channels(monkeypatch: pytest.MonkeyPatch, which: str, channels: int,
                                          expected: str) -> None:
    """Of what is convolved; where the table does not say Winograd."""
    monkeypatch.delenv("TINYCONV_CONV", raising=False)
    monkeypatch.setattr(choice, "TABLE", {})
    source, result = (np.empty((2, n, 16, 16), np.float32) for n in (channels, 64))
    x, y = (result, source) if which == "input gradient" else (source, result)
    w = np.empty((y.shape[1], x.shape[1], 3, 3), np.float32)
    assert choice.algorithm(which, x, w, y, (1, 1), 1) == expected
    monkeypatch.setattr(choice, "TABLE", {(isa.chosen().name, which, 3, 1): ((1, 1),)})
    assert choice.algorithm(which, x, w, y, (1, 1), 1) == "winograd"
