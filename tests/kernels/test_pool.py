"""Pooling: PyTorch agrees (beyond what it allows, after padding by hand), finite differences agree, hand-made cases
agree."""

import math
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tinyconv.kernels import tile
from tinyconv.kernels.pool import reference

import tinyconv as tc
import tinyconv.functional as F

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import DTYPES, agree, normal


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    kernel_size: tuple[int, int]
    stride: tuple[int, int] | None
    padding: tuple[int, int]
    ceil_mode: bool
    layout: str

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kernel_size", "stride", "padding", "ceil_mode")}

    def image(self) -> np.ndarray:
        """All different, so that every maximum is one pixel and no rounding makes two equal."""
        count = math.prod(self.shape)
        return np.random.default_rng(0).permutation(count).reshape(self.shape) / count - 0.5


@st.composite
def cases(draw: st.DrawFn, padding_share: float) -> Case:
    """``padding_share``: how much of the kernel may be padding."""
    def pair(least: int, most: int) -> tuple[int, int]:
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    size = pair(1, 9)
    kernel, padding = [], []
    for n in size:
        k = draw(st.integers(1, 5))
        p = draw(st.integers(0, min(k - 1, int(k * padding_share))))
        kernel.append(min(k, n + 2 * p))
        padding.append(min(p, kernel[-1] - 1, int(kernel[-1] * padding_share)))
        kernel[-1] = min(kernel[-1], n + 2 * padding[-1])
    return Case((*pair(1, 3), *size), tuple(kernel), draw(st.none() | st.just(pair(1, 4))), tuple(padding),
                draw(st.booleans()), draw(st.sampled_from(LAYOUTS)))


ALEXNET = Case((1, 3, 7, 7), (3, 3), (2, 2), (0, 0), False, "usual")  # windows that overlap
LEFT_OVER = Case((2, 2, 6, 5), (3, 2), (2, 3), (1, 1), True, "sliced")
STRIDE_BEYOND = Case((1, 2, 9, 9), (2, 2), (4, 3), (1, 0), True, "usual")
ONE_PIXEL = Case((1, 1, 1, 1), (1, 1), None, (0, 0), True, "usual")


@example(ALEXNET)
@example(LEFT_OVER)
@example(STRIDE_BEYOND)
@example(ONE_PIXEL)
@given(case=cases(padding_share=0.5))
def test_max_agrees_with_pytorch(device: str, torch: Any, case: Case) -> None:
    agree(torch, device, lambda x: F.max_pool2d(x, **case.options()),
          lambda x: torch.nn.functional.max_pool2d(x, **case.options()), [case.image()], case.layout)


@example(ALEXNET, True)
@example(LEFT_OVER, True)
@example(LEFT_OVER, False)
@example(STRIDE_BEYOND, False)
@given(case=cases(padding_share=0.5), count_include_pad=st.booleans())
def test_average_agrees_with_pytorch(device: str, torch: Any, case: Case, count_include_pad: bool) -> None:
    options = {**case.options(), "count_include_pad": count_include_pad}
    agree(torch, device, lambda x: F.avg_pool2d(x, **options),
          lambda x: torch.nn.functional.avg_pool2d(x, **options), [case.image()], case.layout)


def _outputs(n: int, k: int, s: int, p: int, ceil_mode: bool) -> int:
    if not ceil_mode:
        return (n + 2 * p - k) // s + 1
    windows = math.ceil((n + 2 * p - k) / s) + 1
    return windows - ((windows - 1) * s >= n + p)


def _padded_by_hand(torch: Any, x: Any, case: Case, value: float) -> Any:
    """x with ``value`` wherever a window reaches: then no padding and no ceil mode are needed."""
    strides = case.stride or case.kernel_size
    margins = []
    for n, k, s, p in zip(case.shape[2:], case.kernel_size, strides, case.padding, strict=True):
        # Pixels from the first window's begin to the last's end
        reach = (_outputs(n, k, s, p, case.ceil_mode) - 1) * s + k
        margins.append((p, reach - n - p))
    (top, bottom), (left, right) = margins
    return torch.nn.functional.pad(x, (left, right, top, bottom), value=value)


@example(Case((1, 1, 4, 4), (4, 5), (2, 2), (3, 4), True, "usual"))
@example(Case((2, 3, 1, 1), (3, 3), (1, 1), (2, 2), False, "usual"))
@given(case=cases(padding_share=1.0))
def test_max_with_padding_up_to_the_kernel(device: str, torch: Any, case: Case) -> None:
    """PyTorch stops at half of the kernel.  Negative padding of its pad() cuts off what no window reaches."""
    agree(torch, device, lambda x: F.max_pool2d(x, **case.options()),
          lambda x: torch.nn.functional.max_pool2d(
              _padded_by_hand(torch, x, case, -np.inf), case.kernel_size, case.stride), [case.image()], case.layout)


@example(Case((1, 1, 4, 4), (4, 5), (2, 2), (3, 4), True, "usual"), False)
@example(Case((1, 1, 4, 4), (4, 5), (2, 2), (3, 4), True, "usual"), True)
@given(case=cases(padding_share=1.0), count_include_pad=st.booleans())
def test_average_with_padding_up_to_the_kernel(device: str, torch: Any, case: Case, count_include_pad: bool) -> None:
    """The sum of each window over the number of pixels that count, both as a sum pooling of PyTorch: of the image, and
    of ones where the image (or its padding, without what ceil mode adds) is."""
    def theirs(x: Any) -> Any:
        def sums(y: Any) -> Any:
            return torch.nn.functional.avg_pool2d(y, case.kernel_size, case.stride, divisor_override=1)

        margins = [p if count_include_pad else 0 for p in case.padding]
        counted = torch.nn.functional.pad(torch.ones_like(x), (margins[1], margins[1], margins[0], margins[0]))
        if count_include_pad:
            counted = torch.ones_like(counted)
        rest = case._replace(padding=tuple(p - m for p, m in zip(case.padding, margins, strict=True)))
        window_reach = _padded_by_hand(torch, x, case, 0)
        h, w = window_reach.shape[2:]
        (top, left) = rest.padding
        ones = torch.nn.functional.pad(
            counted, (left, w - left - counted.shape[3], top, h - top - counted.shape[2]))
        return sums(window_reach) / sums(ones)

    options = {**case.options(), "count_include_pad": count_include_pad}
    agree(torch, device, lambda x: F.avg_pool2d(x, **options), theirs, [case.image()], case.layout)


@example((1, 2, 1, 1), (6, 6), "usual")  # AlexNet's, on the smallest image
@example((1, 1, 7, 5), (3, 4), "usual")  # bins that overlap
@given(shape=st.tuples(*(st.integers(1, n) for n in (2, 3, 9, 9))),
       output=st.tuples(st.integers(1, 7), st.integers(1, 7)), layout=st.sampled_from(LAYOUTS))
def test_adaptive_average_agrees_with_pytorch(
        device: str, torch: Any, shape: tuple[int, ...], output: tuple[int, int], layout: str) -> None:
    agree(torch, device, lambda x: F.adaptive_avg_pool2d(x, output),
          lambda x: torch.nn.functional.adaptive_avg_pool2d(x, output), [normal(1, *shape)], layout)


@pytest.mark.parametrize("case", [
    ALEXNET, LEFT_OVER, STRIDE_BEYOND, Case((1, 2, 3, 4), (3, 3), (1, 2), (2, 2), True, "transposed")])
def test_gradients_agree_with_finite_differences(device: str, case: Case) -> None:
    """The pixels of image() are at least 1/294 apart, far more than the step of 1e-6: no maximum changes hands."""
    x = place(case.image(), device, case.layout, np.float64)
    assert tc.gradcheck(lambda x: F.max_pool2d(x, **case.options()), x)
    assert tc.gradcheck(lambda x: F.avg_pool2d(x, **case.options()), x)
    assert tc.gradcheck(lambda x: F.avg_pool2d(x, **case.options(), count_include_pad=False), x)
    assert tc.gradcheck(lambda x: F.adaptive_avg_pool2d(x, (2, 3)), x)


def test_max_by_hand(device: str) -> None:
    x = tc.tensor([[[[1.0, 5.0, 2.0], [4.0, 3.0, 0.0], [7.0, 6.0, 8.0]]]], device, requires_grad=True)
    y = F.max_pool2d(x, 2, stride=1)
    np.testing.assert_array_equal(y.numpy(), [[[[5, 5], [7, 8]]]])
    y.backward(np.array([[[[1, 10], [100, 1000]]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[0, 11, 0], [0, 0, 0], [100, 0, 1000]]]])


def test_average_by_hand(device: str) -> None:
    """3x3 with a window of 2, stride 2, padding 1: the corner windows hold one pixel and three zeros, or just one
    pixel."""
    x = tc.tensor(4 * np.arange(1.0, 10).reshape(1, 1, 3, 3), device, requires_grad=True)
    y = F.avg_pool2d(x, 2, 2, padding=1)
    np.testing.assert_array_equal(y.numpy(), [[[[1, 2 + 3], [4 + 7, 5 + 6 + 8 + 9]]]])
    np.testing.assert_array_equal(
        F.avg_pool2d(x, 2, 2, padding=1, count_include_pad=False).numpy(), [[[[4, 10], [22, 28]]]])
    y.backward(np.array([[[[4, 8], [12, 16]]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[1, 2, 2], [3, 4, 4], [3, 4, 4]]]])


def test_the_window_that_ceil_mode_adds_counts_only_real_pixels_and_padding(device: str) -> None:
    """Four pixels, padding 1, window 3, stride 3: the second window has pixels 3 and 4 and one padding zero to its
    right; ceil mode with stride 2 adds a third one, of pixel 4 and the padding; what lies beyond never counts."""
    x = tc.tensor([[[[3.0, 6.0, 9.0, 12.0]]]], device)
    np.testing.assert_array_equal(F.avg_pool2d(x, (1, 3), (1, 3), padding=(0, 1)).numpy(), [[[[3, 7]]]])
    np.testing.assert_array_equal(
        F.avg_pool2d(x, (1, 3), (1, 2), padding=(0, 1), ceil_mode=True).numpy(), [[[[3, 9, 12 / 2]]]])


def test_a_tie_gives_the_gradient_to_the_first(device: str) -> None:
    """First in reading order, as PyTorch has it: an image of one value only is the hardest case."""
    x = tc.tensor(np.full((1, 2, 3, 3), 7.0), device, requires_grad=True)
    F.max_pool2d(x, 2, 1).backward(np.ones((1, 2, 2, 2)))
    np.testing.assert_array_equal(x.grad.numpy()[0], [[[1, 1, 0], [1, 1, 0], [0, 0, 0]]] * 2)


@given(seed=st.integers(0, 2 ** 32 - 1))
def test_ties_agree_with_pytorch(device: str, torch: Any, seed: int) -> None:
    """Images of three values only: nearly every window has a tie."""
    x = np.random.default_rng(seed).integers(-1, 2, (1, 2, 5, 6)).astype(float)
    options: dict[str, Any] = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
    agree(torch, device, lambda x: F.max_pool2d(x, **options),
          lambda x: torch.nn.functional.max_pool2d(x, **options), [x])


def test_nan_propagates_and_takes_the_gradient(device: str) -> None:
    x = tc.tensor([[[[1.0, 2.0, 9.0, 3.0], [np.nan, 0.0, np.nan, np.nan]]]], device, requires_grad=True)
    y = F.max_pool2d(x, 2)
    np.testing.assert_array_equal(y.numpy(), [[[[np.nan, np.nan]]]])
    y.backward(np.array([[[[5.0, 6.0]]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[0, 0, 0, 0], [5, 0, 6, 0]]]])  # of several NaN, to the first


def _on_six_by_seven(kernel: tuple[int, int], channels: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The options of windows on two images of 6 x 7 pixels, padded by half a window, and the shape of the result."""
    stride, padding = (2, 1), (kernel[0] // 2, kernel[1] // 2)
    rows, columns = (_outputs(*axis, False) for axis in zip((6, 7), kernel, stride, padding, strict=True))
    return {"kernel_size": kernel, "stride": stride, "padding": padding}, (2, channels, rows, columns)


@example(1, (3, 3), 0.01, 40, False)  # most windows have one of them, somewhere
@example(2, (2, 2), 0.01, 40, True)
@example(3, (5, 4), 0.01, 40, False)
@given(seed=st.integers(0, 2 ** 32 - 1), kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
       share=st.sampled_from([0.01, 0.3]), channels=st.sampled_from([3, 40]), large=st.booleans())
def test_nan_and_infinities_wherever_they_are(device: str, seed: int, kernel: tuple[int, int], share: float,
                                              channels: int, large: bool) -> None:
    """Of each window the definition's choice, among rare or frequent NaN and infinities, and numbers with many ties;
    also where x counts as larger than the caches."""
    rng, target = np.random.default_rng(seed), tc.device(device)
    x = rng.integers(-2, 3, (2, channels, 6, 7)).astype(DTYPES[device])
    odd = rng.random(x.shape) < share
    x[odd] = rng.choice([np.nan, np.inf, -np.inf], np.count_nonzero(odd))
    window, shape = _on_six_by_seven(kernel, channels)
    y, index = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
    reference.max_forward(x, y, index, **window)
    ours = target.upload(np.zeros_like(y)), target.upload(np.zeros_like(index))
    with patch.object(tile, "LARGE", 0 if large else tile.LARGE):
        target.launch("pool.max_forward", target.upload(x), *ours, **window)
    for mine, expected in zip(ours, (y, index), strict=True):
        np.testing.assert_array_equal(target.download(mine), expected)


@example(1, (3, 3), 40, True)
@example(2, (4, 2), 40, False)
@given(seed=st.integers(0, 2 ** 32 - 1), kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
       channels=st.sampled_from([3, 40]), count_include_pad=st.booleans())
def test_means_of_vectors_of_channels(device: str, seed: int, kernel: tuple[int, int], channels: int,
                                      count_include_pad: bool) -> None:
    """The definition's means and gradients, of windows that fit into registers and of others."""
    rng, target = np.random.default_rng(seed), tc.device(device)
    window, shape = _on_six_by_seven(kernel, channels)
    options = {**window, "count_include_pad": count_include_pad}
    x, gy = (rng.standard_normal(size).astype(DTYPES[device]) for size in ((2, channels, 6, 7), shape))
    y, gx = np.empty_like(gy), np.empty_like(x)
    reference.average_forward(x, y, **options)
    reference.average_backward(gy, gx, **options)
    ours = target.upload(np.full_like(y, np.nan)), target.upload(np.full_like(gx, np.nan))
    target.launch("pool.average_forward", target.upload(x), ours[0], **options)
    target.launch("pool.average_backward", target.upload(gy), ours[1], **options)
    for mine, expected in zip(ours, (y, gx), strict=True):
        assert_close(target.download(mine), expected)


def test_minus_infinity_is_a_value_like_any_other(device: str) -> None:
    """A window of -inf alone gives -inf, and its gradient to a pixel, never to the padding: none is lost."""
    x = tc.tensor(np.full((1, 1, 2, 2), -np.inf), device, requires_grad=True)
    y = F.max_pool2d(x, 2, 1, padding=1)
    np.testing.assert_array_equal(y.numpy(), np.full((1, 1, 3, 3), -np.inf))
    y.backward(np.ones((1, 1, 3, 3)))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[4, 2], [2, 1]]]])  # each window's first real pixel


def test_padding_of_max_pool_is_not_zero(device: str) -> None:
    x = tc.tensor(np.full((1, 1, 1, 1), -3.0), device)
    np.testing.assert_array_equal(F.max_pool2d(x, 3, 1, padding=1).numpy(), [[[[-3.0]]]])


def test_the_whole_image_in_one_bin_is_the_mean(device: str) -> None:
    x = normal(1, 2, 3, 5, 4).astype(DTYPES[device])
    y = F.adaptive_avg_pool2d(tc.tensor(x, device, dtype=x.dtype), 1).numpy()
    assert_close(y, x.mean(axis=(2, 3), keepdims=True))


def test_windows_that_are_too_large_for_an_index(device: str) -> None:
    """Places in a window are kept in 16 bits: 256 x 256 is the largest window, and its last pixel has place 65535."""
    x = np.zeros((1, 1, 256, 257))
    x[0, 0, 255, 255] = 1
    t = tc.tensor(x, device, requires_grad=True)
    F.max_pool2d(t, 256, 1).backward(np.ones((1, 1, 1, 2)))
    np.testing.assert_array_equal(np.argwhere(t.grad.numpy()), [[0, 0, 255, 255]])
    assert t.grad.numpy()[0, 0, 255, 255] == 2
    with pytest.raises(ValueError, match=r"max_pool2d: a window of \(256, 257\) has more than 65536 places"):
        F.max_pool2d(t, (256, 257))
