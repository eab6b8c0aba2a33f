"""What kernels find once for each shape, forgotten, for tests that change what it is found from; and the worst scratch
memory that a pool may give."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from tinyconv.kernels.scratch import Spec, deal, own


@contextmanager
def fresh_plans(*modules: ModuleType) -> Iterator[None]:
    """Nothing from before is found inside, nor what is found inside behind it."""
    _forget(modules)
    try:
        yield
    finally:
        _forget(modules)


def _forget(modules: tuple[ModuleType, ...]) -> None:
    for module in modules:
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def bad_scratch(*arrays: Spec) -> list[np.ndarray]:
    """Every number is a NaN."""
    return deal(_no_numbers, *arrays)


def _no_numbers(size: int) -> np.ndarray:
    block = own((size,), np.uint8)
    block[...] = 0xFF
    return block
