"""Dropout and its random numbers: the same bits on every device, in every layout, with any number of threads."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tinyconv.kernels.dropout import cpu, reference

import tinyconv as tc
import tinyconv.functional as F

from ..layouts import LAYOUTS, place
from ..witness import normal

# Random123, kat_vectors, lines "philox4x32 10": counter, key, result.  (Salmon et al., SC 2011)
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def _reference_philox(counter: Any, key: Any) -> list[int]:
    return [int(word) for word in reference.philox4x32_10(counter, key)]


def _cpu_philox(counter: Any, key: Any) -> list[int]:
    return [int(word) for word in cpu._philox(*(np.uint64(word) for word in (*counter, *key)))]


@pytest.mark.parametrize("philox", [_reference_philox, _cpu_philox])
@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_philox_gives_its_published_answers(philox: Any, counter: Any, key: Any, expected: Any) -> None:
    assert philox(counter, key) == list(expected)


def _mask(device: str, shape: tuple[int, ...], layout: str = "usual", p: float = 0.5, **counter: int) -> np.ndarray:
    x = place(np.ones(shape, np.float32), device, layout)
    return F.dropout(x, p, **{"stream": 3, "step": 7, **counter}).numpy() != 0


def _by_definition(shape: tuple[int, ...], p: float, seed: int, stream: int, step: int,
                   first_sample: int) -> np.ndarray:
    """The mask straight from the documented counter, one element at a time."""
    kept = np.zeros(shape, bool)
    for n in range(shape[0]):
        for e, index in enumerate(np.ndindex(shape[1:])):
            words = _reference_philox((e // 4, first_sample + n, step, stream), (seed & 0xFFFFFFFF, seed >> 32))
            kept[(n, *index)] = words[e % 4] >= round(p * 2 ** 32)
    return kept


@example((3,), "usual", 0.5, 0)
@example((2, 3, 5, 5), "usual", 0.5, 5)
@example((1, 1, 1, 1), "usual", 0.9, 2 ** 32 - 1)
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple), layout=st.sampled_from(LAYOUTS),
       p=st.floats(0.05, 0.95), first_sample=st.integers(0, 2 ** 20))
def test_masks_follow_the_documented_counter_in_any_layout(
        device: str, shape: tuple[int, ...], layout: str, p: float, first_sample: int) -> None:
    seed = 0xDEADBEEF12345678
    tc.manual_seed(seed)
    np.testing.assert_array_equal(_mask(device, shape, layout, p, first_sample=first_sample),
                                  _by_definition(shape, p, seed, stream=3, step=7, first_sample=first_sample))


@given(shape=st.sampled_from([(7, 33), (2, 9, 13), (3, 5, 9, 11), (1, 64, 20, 20)]), layout=st.sampled_from(LAYOUTS),
       threads=st.sampled_from([1, 2]), seed=st.integers(0, 2 ** 64 - 1), step=st.integers(0, 2 ** 32 - 1))
def test_the_fast_kernel_draws_the_bits_of_the_reference(
        shape: tuple[int, ...], layout: str, threads: int, seed: int, step: int) -> None:
    import numba

    tc.manual_seed(seed)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        fast = _mask("cpu", shape, layout, step=step)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(fast, _mask("reference", shape, step=step))


def test_each_part_of_the_counter_matters(device: str) -> None:
    base = _mask(device, (2, 200))
    for other in (_mask(device, (2, 200), stream=4), _mask(device, (2, 200), step=8),
                  _mask(device, (2, 200), first_sample=1)):
        # 400 coins agree in 200 +- 10; beyond 8 standard deviations would be no accident
        assert 120 < (base != other).sum() < 280
    tc.manual_seed(1)
    assert 120 < (base != _mask(device, (2, 200))).sum() < 280
    tc.manual_seed(1 << 32)  # the high word of the seed counts, too
    assert 120 < (base != _mask(device, (2, 200))).sum() < 280


def test_a_batch_that_is_shared_out_is_the_same_batch(device: str) -> None:
    """Two workers with three samples each draw what one with six would draw."""
    whole = _mask(device, (6, 4, 3, 3))
    np.testing.assert_array_equal(whole[:3], _mask(device, (3, 4, 3, 3)))
    np.testing.assert_array_equal(whole[3:], _mask(device, (3, 4, 3, 3), first_sample=3))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_how_many_are_kept(device: str, p: float) -> None:
    """A binomial of 100,000 draws stays within 5 standard deviations, but for one seed in two million; this seed is
    fixed."""
    count = 100_000
    kept = _mask(device, (10, count // 10), p=p).sum()
    assert abs(kept - count * (1 - p)) < 5 * (count * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 4, 4)])
def test_what_is_kept_is_scaled_and_the_gradient_sees_the_same_mask(
        device: str, layout: str, shape: tuple[int, ...]) -> None:
    data = normal(1, *shape).astype(np.float32)
    x = place(data, device, layout)
    kept = _mask(device, shape, p=0.75)
    assert 0 < kept.sum() < kept.size
    y = F.dropout(x, 0.75, stream=3, step=7)
    np.testing.assert_array_equal(y.numpy(), np.where(kept, data * 4, 0))  # 1 / (1 - 0.75), exact in binary
    cotangent = normal(2, *shape).astype(np.float32)
    y.backward(cotangent)
    np.testing.assert_array_equal(x.grad.numpy(), np.where(kept, cotangent * 4, 0))


def test_gradient_agrees_with_finite_differences(device: str) -> None:
    x = place(normal(1, 2, 3, 2, 2), device, "usual", np.float64)
    assert tc.gradcheck(lambda x: F.dropout(x, 0.4, stream=1, step=1), x)


def test_nothing_happens_out_of_training_or_for_p_0(device: str) -> None:
    x = tc.tensor(normal(1, 2, 3), device)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


def test_calls_of_the_function_differ_and_a_seed_repeats_them(device: str) -> None:
    x = tc.tensor(np.ones((1, 400)), device)
    tc.manual_seed(5)
    first, second = F.dropout(x).numpy(), F.dropout(x).numpy()
    assert 120 < (first != second).sum() < 280  # see above
    tc.manual_seed(5)
    np.testing.assert_array_equal(F.dropout(x).numpy(), first)
    np.testing.assert_array_equal(F.dropout(x).numpy(), second)


def test_zeros_of_infinite_inputs_are_zeros(device: str) -> None:
    """Dropped is dropped: inf * 0 would be NaN."""
    x = tc.tensor(np.full((1, 64), np.inf), device)
    y = F.dropout(x, 0.5, stream=3, step=7).numpy()
    np.testing.assert_array_equal(y, np.where(_mask(device, (1, 64)), np.inf, 0))
