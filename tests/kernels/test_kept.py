"""What is made of the weights is made once under ``no_grad``, and never outlives a change of them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from tinyconv.kernels.conv import choice, direct, pairs, winograd

import tinyconv as tc
import tinyconv.functional as F

from ..witness import normal

PACKING = {"direct": (direct, "pack"), "pairs": (pairs, "_pack"), "winograd": (winograd, "_transform_weights")}


@pytest.fixture(params=choice.WORDS)
def packings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one element with each packing of the weights."""
    monkeypatch.setenv("TINYCONV_CONV", request.param)
    module, name = PACKING[request.param]
    real, calls = getattr(module, name), []

    def counted(*args: object) -> None:
        calls.append(1)
        real(*args)

    with patch.object(module, name, counted):
        yield calls


def test_once_without_a_graph_and_always_with_one(packings: list[int]) -> None:
    x, w = tc.tensor(normal(1, 2, 3, 8, 8)), tc.tensor(normal(2, 16, 3, 3, 3), requires_grad=True)
    with tc.no_grad():
        first = F.conv2d(x, w).numpy()
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), first)
    assert len(packings) == 1
    np.testing.assert_array_equal(F.conv2d(x, w).numpy(), first)
    np.testing.assert_array_equal(F.conv2d(x, w).numpy(), first)
    assert len(packings) == 3
    with tc.no_grad():  # training dropped what was kept
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), first)
    assert len(packings) == 4


def test_a_change_in_place_is_seen(packings: list[int]) -> None:
    x, w = tc.tensor(normal(1, 2, 3, 8, 8)), tc.tensor(normal(2, 16, 3, 3, 3))
    with tc.no_grad():
        first = F.conv2d(x, w).numpy()
        w.copy_(2 * w.numpy())
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), 2 * first)  # twice is exact in floating point
    assert len(packings) == 2


def test_groups_are_kept_apart(packings: list[int]) -> None:
    w = tc.tensor(normal(2, 4, 2, 3, 3))
    x = tc.tensor(normal(1, 2, 4, 8, 8))
    with tc.no_grad():
        F.conv2d(x[:, :2], w)
        both = F.conv2d(x, w, groups=2).numpy()
    expected = [F.conv2d(x[:, 2 * g:2 * g + 2], w[2 * g:2 * g + 2]).numpy() for g in range(2)]
    np.testing.assert_allclose(both, np.concatenate(expected, axis=1), atol=1e-4)


@pytest.mark.parametrize("taps, places", [(3, {6, 7}), (5, {7, 8})])
def test_images_of_other_sizes_take_what_fits_them(monkeypatch: pytest.MonkeyPatch, taps: int,
                                                   places: set[int]) -> None:
    """Winograd's tiles follow from the size of the result, and with them what is made of the weights."""
    monkeypatch.setenv("TINYCONV_CONV", "winograd")
    w, made, real = tc.tensor(normal(1, 4, 3, taps, taps)), [], winograd._transform_weights
    images = [tc.tensor(normal(2, 1, 3, h + taps - 1, w + taps - 1))
              for h, w in ((8, 12), (5, 4), (4, 5), (3, 3), (13, 7), (8, 12))]
    expected = [F.conv2d(x, w).numpy() for x in images]

    def noted(weight: np.ndarray, n: int, *rest: Any) -> None:
        made.append(n)
        real(weight, n, *rest)

    with tc.no_grad(), patch.object(winograd, "_transform_weights", noted):
        for x, y in 2 * list(zip(images, expected, strict=True)):
            np.testing.assert_array_equal(F.conv2d(x, w).numpy(), y)
    assert sorted(made) == sorted(places)


def _stepping_in(monkeypatch: pytest.MonkeyPatch, algorithm: str, step_in: Callable[[], object]) -> None:
    """The first packing of weights begins with ``step_in``."""
    monkeypatch.setenv("TINYCONV_CONV", algorithm)
    module, name = PACKING[algorithm]
    real, first = getattr(module, name), [step_in]

    def packing(*args: object) -> None:
        while first:
            first.pop()()
        real(*args)

    monkeypatch.setattr(module, name, packing)


@pytest.mark.parametrize("algorithm", choice.WORDS)
def test_another_thread_does_not_find_what_is_half_made(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    x, w = tc.tensor(normal(1, 2, 3, 8, 8)), tc.tensor(normal(2, 16, 3, 3, 3))
    results = []

    def compute() -> None:
        with tc.no_grad():
            results.append(F.conv2d(x, w).numpy())

    def meanwhile() -> None:
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()

    monkeypatch.setenv("TINYCONV_CONV", algorithm)
    expected = F.conv2d(x, w).numpy()
    _stepping_in(monkeypatch, algorithm, meanwhile)
    compute()
    compute()
    assert len(results) == 3
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("algorithm", choice.WORDS)
def test_what_was_interrupted_is_made_anew(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    x, w = tc.tensor(normal(1, 2, 3, 8, 8)), tc.tensor(normal(2, 16, 3, 3, 3))

    def interrupt() -> None:
        raise KeyboardInterrupt

    _stepping_in(monkeypatch, algorithm, interrupt)
    with tc.no_grad():
        with pytest.raises(KeyboardInterrupt):
            F.conv2d(x, w)
        result = F.conv2d(x, w).numpy()
    np.testing.assert_array_equal(result, F.conv2d(x, w).numpy())


def _interrupted(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Ctrl-C comes as the kernel has just done its work."""
    device = tc.device("cpu")
    launch = device.launch

    def then_interrupt(*arguments: Any, **options: Any) -> None:
        launch(*arguments, **options)
        if arguments[0] in ("elementwise.copy", "update.sgd"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(device, "launch", then_interrupt)
        patched.setattr(device, "upload", lambda array, plain=False: array)
        with pytest.raises(KeyboardInterrupt):
            change()


@pytest.mark.parametrize("how", ["copy_", "step"])
def test_an_interrupted_change_is_a_change(packings: list[int], monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    x, w = tc.tensor(normal(1, 2, 3, 8, 8)), tc.nn.Parameter(normal(2, 16, 3, 3, 3).astype(np.float32), "cpu")
    optimizer = tc.optim.SGD([w], lr=0.5)
    F.conv2d(x, w).sum().backward()
    with tc.no_grad():
        before = F.conv2d(x, w).numpy()
        _interrupted(monkeypatch, optimizer.step if how == "step" else lambda: w.copy_(2 * w.numpy()))
        after = F.conv2d(x, w).numpy()
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_array_equal(after, F.conv2d(x, w).numpy())
