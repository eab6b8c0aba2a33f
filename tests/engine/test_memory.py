"""The pool: what is lent comes back, what is in use is left alone."""

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.memory import ALIGNMENT, SMALL, Pool

from ..witness import normal


@pytest.fixture
def lent(device: str) -> Any:
    """A function that tells how many bytes the device has lent since the test began."""
    gc.collect()
    pool = tc.device(device).pool
    before = pool.lent
    return lambda: pool.lent - before


def test_a_step_returns_every_block(device: str, lent: Any) -> None:
    """Activations, gradients and scratch; and a second step borrows nothing that the first did not have."""
    model = tc.nn.Sequential(
        tc.nn.Conv2d(3, 16, 3, padding=1, device=device), tc.nn.ReLU(), tc.nn.LocalResponseNorm(5), tc.nn.MaxPool2d(2),
        tc.nn.Flatten(), tc.nn.Dropout(), tc.nn.Linear(16 * 8 * 8, 20, device=device))
    optimizer = tc.optim.SGD(model.parameters(), lr=0.01)
    images = normal(1, 8, 3, 16, 16)
    start = lent()

    def step() -> float:
        loss = F.cross_entropy(model(tc.tensor(images, device)), np.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    first = step()
    optimizer.zero_grad()
    assert lent() == start
    pool = tc.device(device).pool
    held = pool.lent + pool.shelved
    assert step() != first
    optimizer.zero_grad()
    assert pool.lent + pool.shelved == held and lent() == start


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_a_launch_that_fails_gives_its_scratch_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from tinyconv.kernels.linear import cpu

    def fail(*_: Any) -> None:
        raise OSError("in the middle")

    device = tc.device(name)
    monkeypatch.setattr(cpu, "_forward", fail)
    device.synchronize()
    gc.collect()
    before, shelved = device._scratch.lent, device._scratch.shelved
    with pytest.raises(OSError, match="in the middle"):
        device.launch("linear.forward", np.ones((20, 900)), np.ones((30, 900)), None, np.empty((20, 30)))
        device.synchronize()
    assert device._scratch.lent == before
    assert device._scratch.shelved >= shelved


def test_the_graph_goes_back_when_the_loss_does(device: str, lent: Any) -> None:
    x = tc.tensor(np.ones((64, 64)), device, requires_grad=True)
    y = x
    for _ in range(10):
        y = F.relu(y * 2.0)
    assert lent() > 10 * 64 * 64 * 4
    del y
    assert lent() < 2 * 64 * 64 * 4  # x is left


def test_no_grad_keeps_nothing(device: str, lent: Any) -> None:
    x = tc.tensor(np.ones((64, 64)), device, requires_grad=True)
    with tc.no_grad():
        y = x
        for _ in range(10):
            y = y * 2.0
            assert lent() < 4 * 64 * 64 * 4


@pytest.mark.parametrize("view", [lambda x: x.permute(1, 0), lambda x: x[3:5, 7:9], lambda x: x.reshape(-1),
                                  lambda x: x.detach(), lambda x: x[5, 5]])
def test_a_view_keeps_its_block(device: str, lent: Any, view: Any) -> None:
    x = tc.tensor(np.arange(64.0 * 64).reshape(64, 64), device)
    part = view(x)
    expected = part.numpy()
    del x
    others = [tc.tensor(np.full((64, 64), -1.0), device) for _ in range(3)]
    np.testing.assert_array_equal(part.numpy(), expected)
    del others, part
    assert lent() == 0


def test_a_block_is_used_again() -> None:
    pool = Pool()
    a = pool.empty((100, 100))
    address = a.ctypes.data
    assert pool.lent > 0 and pool.shelved == 0
    del a
    assert pool.lent == 0 and pool.shelved > 0
    b = pool.empty((99, 100))  # nearly the same size
    assert b.ctypes.data == address and pool.shelved == 0
    c = pool.empty((99, 100))
    assert c.ctypes.data != address
    peak = pool.peak
    del b, c
    assert pool.peak == peak
    pool.release()
    assert (pool.lent, pool.shelved) == (0, 0)


def test_a_large_block_is_not_wasted_on_a_small_array() -> None:
    pool = Pool()
    large = pool.empty((1000, 1000))
    del large
    small = pool.empty((100, 100))
    assert pool.shelved > 1000 * 1000 * 4 and small.base is not None


@given(actions=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([3, 4096, 4100, 5000, 8192, 9000, 40_000])),
                        max_size=40),
       dtype=st.sampled_from([np.float32, np.float64, np.uint8]))
def test_live_arrays_never_overlap(actions: list[tuple[int, int]], dtype: Any) -> None:
    """Arrays come and go; each is filled with a number of its own, which must still be there at the end."""
    pool = Pool()
    live: dict[int, tuple[np.ndarray, int]] = {}
    view = None
    for number, (slot, nbytes) in enumerate(actions):
        live.pop(slot, None)
        array = pool.empty((nbytes // np.dtype(dtype).itemsize,), dtype)
        array[:] = number % 200
        view = array[1:].reshape(1, -1).T  # only a view of it stays
        live[slot] = (view, number % 200)
        del array
    for view, number in live.values():
        assert (view == number).all()
    spans = sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a, _ in live.values() if a.size)
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:], strict=False))
    live.clear()
    del view
    assert pool.lent == 0


@given(size=st.integers(1, 1 << 20), dtype=st.sampled_from([np.float32, np.float64, np.uint16]))
def test_arrays_are_aligned_and_waste_little(size: int, dtype: Any) -> None:
    pool = Pool()
    array = pool.empty((size,), dtype)
    assert array.shape == (size,) and array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable
    if array.nbytes >= SMALL:
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.nbytes <= pool.lent <= array.nbytes * 9 / 8 + 2 * ALIGNMENT
    else:
        assert pool.lent == 0


def test_threads_share_a_pool() -> None:
    import threading

    pool, wrong = Pool(), []

    def work(number: int) -> None:
        for i in range(300):
            a = pool.empty((1500 + 100 * (i % 3),))
            a[:] = number
            b = pool.empty((1500,))
            b[:] = -number
            if not ((a == number).all() and (b == -number).all()):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and pool.lent == 0
