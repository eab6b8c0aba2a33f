"""Random graphs over one to three devices, with copies all over, compute what one device computes: no race, no
deadlock, no leak.  Bit for bit, for no kernel's result depends on how many threads run it."""

import gc
import random
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.cores import CpuPart

from ..conftest import needs_cuda, needs_two_gpus
from .graphs import compute

GRAPHS = 500
PLACES = [["cpu:0"], ["cpu:0", "cpu:1"], ["cpu:0", "cpu:1", "cpu:2"], ["cpu:2", "cpu", "cpu:1"]]
device_module = sys.modules["tinyconv.device"]  # tinyconv.device is the function


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    """A deadlock fails the test: the main thread's waits can be interrupted by a signal."""

    def bark(*_: Any) -> None:
        raise TimeoutError("the queues are stuck")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(600)  # a quiet machine needs ten
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _three_shares() -> Iterator[None]:
    tc.devices("cpu", 3)
    yield
    tc.devices("cpu", 2)


@pytest.fixture(scope="module")
def expected() -> list[list[np.ndarray]]:
    return [compute(seed, ["cpu"]) for seed in range(GRAPHS)]


def _held() -> list[tuple[int, int]]:
    """Bytes in use, and copies that other queues have not finished, of each share."""
    gc.collect()
    parts = [tc.device(f"cpu:{i}") for i in range(3)]
    for part in 2 * parts:  # the second time all copies are done, and what they read is let go
        part.synchronize()
    return [(part.pool.lent, len(part._readers)) for part in parts]  # type: ignore[attr-defined]


def _compare(expected: list[list[np.ndarray]], seeds: range) -> None:
    before = _held()
    for seed in seeds:
        for ours, right in zip(compute(seed, PLACES[seed % len(PLACES)]), expected[seed], strict=True):
            np.testing.assert_array_equal(ours, right, err_msg=f"graph {seed} on {PLACES[seed % len(PLACES)]}")
    for (lent, reads), (lent_before, _) in zip(_held(), before, strict=True):
        assert lent <= lent_before and reads == 0


def test_deferred(expected: list[list[np.ndarray]]) -> None:
    _compare(expected, range(GRAPHS))


def test_immediate(expected: list[list[np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        monkeypatch.setattr(tc.device(f"cpu:{i}"), "_blocking", True)
    _compare(expected, range(GRAPHS))


def test_with_random_delays(expected: list[list[np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then a queue falls behind, up to a few launches of the others."""
    run, delays = CpuPart._job, random.Random(0)

    def late(*arguments: Any) -> None:
        if delays.random() < 0.1:
            time.sleep(0.002 * delays.random())
        run(*arguments)

    monkeypatch.setattr(CpuPart, "_job", late)
    _compare(expected, range(GRAPHS))


class TestGpus:
    @pytest.mark.parametrize("places", [pytest.param(["cuda:0", "cuda:1"], marks=needs_two_gpus),
                                        pytest.param(["cuda:1", "cpu:0", "cuda:0"], marks=needs_two_gpus),
                                        pytest.param(["cuda:0", "cpu", "cpu:1"], marks=needs_cuda)], ids=str)
    def test_deferred(self, places: list[str], expected: list[list[np.ndarray]]) -> None:
        """Emulated, streams run as late as they may, and a missing order between two of them is an error by itself."""
        for seed in range(12):
            for ours, right in zip(compute(seed, places), expected[seed], strict=True):
                np.testing.assert_allclose(ours, right, rtol=0, atol=1e-4 * np.abs(right).max())
