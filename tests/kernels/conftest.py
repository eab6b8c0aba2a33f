"""Kernels on an emulated GPU are run with every check on, each launch in three orders of its threads."""

from collections.abc import Iterator
from contextlib import ExitStack

import numba
import pytest

from tinyconv import cuda


@pytest.fixture(autouse=True)
def _every_check_and_order(request: pytest.FixtureRequest) -> Iterator[None]:
    """An access out of bounds, a race between threads, or a byte that depends on the order of the threads is an error.
    The arrays of these tests are small and ragged; whole networks run unchecked, which is twenty times as quick."""
    with ExitStack() as stack:
        if request.node.get_closest_marker("gpu") and cuda.is_emulated():
            from tinyconv.emulator import checking

            stack.enter_context(checking(order="each"))
        yield


@pytest.fixture
def few_threads() -> Iterator[None]:
    """Two threads at most: each has scratch of its own, and with very many some ways are never taken.  The test may set
    another number; afterwards it is what it was."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, before))
    yield
    numba.set_num_threads(before)
