"""The ladder: which of several CUDA kernels for one and the same pass runs.

Convolution and the linear layer have a kernel per step from the plainest to the fastest, to be read, timed and tested
one after the other.  By default the best one that keeps float32 runs.  Another one is chosen

    with use_rung("conv.forward", "tiled"): ...                                 in this thread
    TINYCONV_CUDA_RUNG="conv.forward=naive,linear.forward=tiled"                in the environment
    allow_tf32(True)                                                            the tensor cores, which round to TF32
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

RUNGS = {
    "conv.forward": ("naive", "tiled", "register", "vectorised", "tf32"),
    "conv.backward_input": ("naive", "vectorised"),
    "conv.backward_weight": ("naive", "vectorised"),
    "linear.forward": ("naive", "tiled", "register", "vectorised", "tf32"),
    "linear.backward_input": ("naive", "vectorised"),
    "linear.backward_weight": ("naive", "vectorised"),
}
_ENVIRONMENT = "TINYCONV_CUDA_RUNG"
_local = threading.local()
_tf32 = False


def chosen(kernel: str, dtype: Any) -> str:
    """The rung of ``kernel`` ("conv.forward") that serves arrays of ``dtype``.

    float64 is there to check gradients: the first rung, which is written for any type, does that."""
    if np.dtype(dtype) != np.float32:
        return "naive"
    overrides = _read(os.environ.get(_ENVIRONMENT, "")) | getattr(_local, "rungs", {})
    if kernel in overrides:
        return overrides[kernel]
    if _tf32 and "tf32" in RUNGS[kernel]:
        return "tf32"
    return "vectorised"


@contextmanager
def use_rung(kernel: str, rung: str) -> Iterator[None]:
    """Within ``with use_rung("conv.forward", "naive"):`` this thread runs that kernel."""
    before = getattr(_local, "rungs", {})
    _local.rungs = before | {kernel: _checked("use_rung", kernel, rung)}
    try:
        yield
    finally:
        _local.rungs = before


def allow_tf32(allowed: bool) -> None:
    """Let ``conv.forward`` and ``linear.forward`` of float32 arrays use the tensor cores of a GPU, in all threads.

    They multiply numbers rounded to TF32, which has 10 bits behind the point where float32 has 23: results are right to
    1e-3 of the largest instead of 1e-6.  So it is off unless asked for."""
    global _tf32
    _tf32 = bool(allowed)


@cache
def _read(setting: str) -> dict[str, str]:
    """What TINYCONV_CUDA_RUNG says, as kernel -> rung."""
    result = {}
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        kernel, _, rung = entry.partition("=")
        result[kernel] = _checked(_ENVIRONMENT, kernel, rung)
    return result


def _checked(whence: str, kernel: str, rung: str) -> str:
    if kernel not in RUNGS:
        raise ValueError(f"{whence}: {kernel!r} has no ladder; those that have one are {', '.join(RUNGS)}")
    if rung not in RUNGS[kernel]:
        raise ValueError(f"{whence}: {kernel} has no rung {rung!r}; its rungs are {', '.join(RUNGS[kernel])}")
    return rung
