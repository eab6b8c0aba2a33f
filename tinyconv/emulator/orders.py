"""Running a launch in one order of its threads, or in every order, to prove that the result does not depend on it.

Threads of a GPU run in any order.  A kernel without a race gives the same result in all of them; one that adds numbers
with atomics, for example, does not: rounding depends on who comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .hostmemory import at
from .module import EmulatorError, Region
from .settings import SINGLE_ORDERS


def run(name: str, launch: Callable[[str], None], regions: list[Region], order: str) -> None:
    """Call ``launch(order)``; with order ``each``, once per order from the same memory, and compare every byte."""
    if order != "each":
        launch(order)
        return
    results = []
    for one in SINGLE_ORDERS[:-1]:
        with restored(regions):
            launch(one)
            results.append(_snapshot(regions))
    launch(SINGLE_ORDERS[-1])
    results.append(_snapshot(regions))
    for other, result in zip(SINGLE_ORDERS[1:], results[1:], strict=True):
        _compare(name, regions, results[0], result, other)


@contextmanager
def restored(regions: list[Region]) -> Iterator[None]:
    """Whatever happens within, the memory of ``regions`` is as before afterwards."""
    before = _snapshot(regions)
    written = [None if region.written is None else region.written.copy() for region in regions]
    try:
        yield
    finally:
        for region, saved, flags in zip(regions, before, written, strict=True):
            at(region.address, region.nbytes)[:] = saved
            if region.written is not None:
                region.written[:] = flags


def _snapshot(regions: list[Region]) -> list[np.ndarray]:
    return [at(region.address, region.nbytes).copy() for region in regions]


def _compare(name: str, regions: list[Region], first: list[np.ndarray], result: list[np.ndarray], order: str) -> None:
    for region, a, b in zip(regions, first, result, strict=True):
        differs = np.flatnonzero(a != b)
        if differs.size:
            raise EmulatorError(f"{name}: the result depends on the order of threads: {differs.size} bytes of "
                                f"{region.name} differ between {SINGLE_ORDERS[0]} and {order}, the first at byte "
                                f"{differs[0]}")
