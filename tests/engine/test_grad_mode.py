"""no_grad and detach."""

import threading

import numpy as np
import pytest

import tinyconv as tc


def test_nothing_is_recorded_inside_the_block(device: str) -> None:
    x = tc.tensor([2.0], device, requires_grad=True)
    with tc.no_grad():
        y = x * x
        assert not tc.is_grad_enabled()
    assert tc.is_grad_enabled()
    assert y.item() == 4 and not y.requires_grad and y.creator is None
    (x * y).backward()
    assert x.grad.item() == 4  # y was a constant


def test_as_a_decorator(device: str) -> None:
    @tc.no_grad()
    def double(x: tc.Tensor, by: float = 2.0) -> tc.Tensor:
        """Doubles."""
        return x * by

    x = tc.tensor([3.0], device, requires_grad=True)
    for _ in range(2):
        y = double(x, by=4.0)
        assert y.item() == 12 and not y.requires_grad and tc.is_grad_enabled()
    assert double.__name__ == "double" and double.__doc__ == "Doubles."


def test_blocks_nest_and_an_error_ends_them() -> None:
    with tc.no_grad():
        with tc.no_grad():
            pass
        assert not tc.is_grad_enabled()
    with pytest.raises(KeyError), tc.no_grad():
        raise KeyError
    assert tc.is_grad_enabled()


def test_each_thread_has_its_own_switch() -> None:
    seen: list[bool] = []
    with tc.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tc.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_cuts_the_history_and_shares_the_memory(device: str) -> None:
    x = tc.tensor([2.0, 3.0], device, requires_grad=True)
    y = x * x
    d = y.detach()
    assert not d.requires_grad and d.creator is None
    (x * d).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4, 9])
    d.copy_([7.0, 8.0])
    np.testing.assert_array_equal(y.numpy(), [7, 8])
