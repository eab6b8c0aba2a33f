"""What kernels find once for each shape, forgotten, for tests that change what it is found from; the worst scratch
memory that a pool may give; and a way of convolution by itself, with such memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from tinyconv.kernels.layout import channels_last
from tinyconv.kernels.scratch import Spec, deal, own

import tinyconv as tc


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


def convolve(way: ModuleType, source: np.ndarray, y: np.ndarray | None, weight: np.ndarray, bias: np.ndarray | None,
             result: np.ndarray, padding: tuple[int, int], groups: int = 1, *, relu: bool = False,
             backwards: bool = False) -> None:
    """One of those in ``conv/cpu.py``, with stride 1; the result is the device's."""
    upload = tc.device("cpu").upload
    images = (None if image is None else channels_last(upload(image)) for image in (source, y))
    way.convolve(*images, weight, bias, channels_last(result), (1, 1), padding, groups, int(relu), backwards,
                 None, bad_scratch)
