"""Every kernel: the same numbers as the definition.  Every CPU kernel: the same bits with any number of threads, and no
memory of its own."""

import tracemalloc

import numba
import numpy as np
import pytest

import tinyconv as tc

from ..closeness import assert_close
from ..conftest import CUDA
from .launches import CPU, LAUNCHES

REFERENCE = tc.device("reference")


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: there is nothing to compare")
@pytest.mark.parametrize("name", LAUNCHES)
def test_any_number_of_threads_gives_the_same_bits(name: str, few_threads: None) -> None:
    results, most = [], numba.config.NUMBA_NUM_THREADS
    for count in sorted({*range(1, min(most, 4) + 1), most}):
        numba.set_num_threads(count)
        arrays, options = LAUNCHES[name]()
        CPU.launch(name.split()[0], *arrays, **options)
        results.append([a.tobytes() for a in arrays if a is not None])
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_warm_launch_allocates_nothing_large(name: str, few_threads: None) -> None:
    """NumPy reports its arrays to tracemalloc.  The scratch memory comes from the pool, warm after the first launch.
    64 KiB leave room for Python's own objects; the smallest array here that a temporary could be has more than 200
    KB."""
    arrays, options = LAUNCHES[name]()
    CPU.launch(name.split()[0], *arrays, **options)
    tracemalloc.start()
    try:
        CPU.launch(name.split()[0], *arrays, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 10


@pytest.mark.parametrize("where", ["cpu", CUDA])
@pytest.mark.parametrize("name", LAUNCHES)
def test_agrees_with_the_definition(name: str, where: str) -> None:
    """Whatever the functions above pass in, cpu.py and cuda.py fill the same arrays with the same numbers as
    reference.py."""
    device = tc.device(where)
    made, options = LAUNCHES[name]()
    slow = [None if a is None else a.copy() for a in made]
    before = [None if a is None else a.copy() for a in made]
    fast = made if where == "cpu" else [None if a is None else device.upload(a) for a in made]
    device.launch(name.split()[0], *fast, **options)
    REFERENCE.launch(name.split()[0], *slow, **options)
    changed = 0
    for array, b, old in zip(fast, slow, before, strict=True):
        if array is None:
            continue
        a = device.download(array)
        changed += not np.array_equal(b, old)
        if a.dtype.kind == "f":
            assert_close(a, b, tol=1e-4)  # float32; see closeness.py
        else:
            np.testing.assert_array_equal(a, b)
    assert changed, "the launch has no result"
