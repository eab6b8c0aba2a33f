"""Checks of arguments that several functions share.  Their messages name the function, the argument and the remedy."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ..kernels.shapes import output_size
from ..tensor import Tensor

Pair = int | tuple[int, int]
_MOST = 2 ** 31 - 1  # what kernels count with


def pair(name: str, argument: str, value: Any, least: int) -> tuple[int, int]:
    """``value``, an int or a pair (vertical, horizontal) of ints of at least ``least``, as a pair."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or any(not is_int(v) for v in both):
        raise TypeError(f"{name}: {argument} must be an int or a pair of ints, not {value!r}")
    if min(both) < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, not {value}")
    if max(both) > _MOST:
        raise ValueError(f"{name}: {argument} must be at most {_MOST}, not {value}")
    return int(both[0]), int(both[1])


def padding(name: str, padding: tuple[int, int], kernel: tuple[int, int]) -> None:
    """The padding of a pooling must be smaller than its window."""
    if any(p >= k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"{name}: padding {padding} must be smaller than kernel_size {kernel}: "
                         "a window would lie in the padding alone")


def is_int(value: Any) -> bool:
    return type(value) is int or (isinstance(value, numbers.Integral) and not isinstance(value, bool))


def number(name: str, argument: str, value: Any, *, least: float | None = None, above: float | None = None,
           most: float | None = None, below: float | None = None) -> None:
    """``value`` must be a finite number: at least ``least``, greater than ``above``, at most ``most``, less than
    ``below``."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: {argument} must be a number, not {value!r}")
    limits = [("at least", least, lambda limit: value >= limit), ("greater than", above, lambda limit: value > limit),
              ("at most", most, lambda limit: value <= limit), ("less than", below, lambda limit: value < limit)]
    if not math.isfinite(value):
        raise ValueError(f"{name}: {argument} must be finite, not {value}")
    if not all(holds(limit) for _, limit, holds in limits if limit is not None):
        wanted = " and ".join(f"{words} {limit}" for words, limit, _ in limits if limit is not None)
        raise ValueError(f"{name}: {argument} must be {wanted}, not {value}")


def images(name: str, x: Tensor) -> None:
    """x must be a batch of images: floating, (N, C, H, W), none of them 0."""
    tensors(name, x=x)
    if x.ndim != 4:
        hint = "; add a batch axis: x.reshape(1, ...)" if x.ndim == 3 else ""
        raise ValueError(f"{name}: x must have shape (N, C, H, W), not {x.shape}{hint}")
    if x.size == 0:
        raise ValueError(f"{name}: x is empty: its shape is {x.shape}")


def any_tensors(name: str, **arguments: Any) -> None:
    """Each argument must be a tensor, of whatever kind."""
    for argument, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: {argument} must be a Tensor, not {type(value).__name__}; use tinyconv.tensor()")


def tensors(name: str, **arguments: Any) -> None:
    """Each argument must be a floating tensor."""
    any_tensors(name, **arguments)
    for argument, value in arguments.items():
        if value.dtype.kind != "f":
            raise TypeError(f"{name}: {argument} must be float32 or float64, not {value.dtype}; use .to('float32')")


def axes_of(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis`` (None for all, an int, or several) as a tuple of distinct axes from 0 to ndim-1."""
    given = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    for a in given:
        if not is_int(a):
            raise TypeError(f"{name}: axis must be an int or a tuple of ints, not {axis!r}")
        if not -ndim <= a < ndim:
            raise ValueError(f"{name}: axis {a} is out of range for a tensor with {ndim} axes")
    result = tuple(a % ndim for a in given)
    if len(set(result)) < len(result):
        raise ValueError(f"{name}: axis {axis} names one axis twice")
    return result


def one_axis(name: str, axis: Any, ndim: int) -> int:
    """``axis``, an int, as one from 0 to ndim-1."""
    if not is_int(axis):
        raise TypeError(f"{name}: axis must be an int, not {axis!r}")
    return axes_of(name, axis, ndim)[0]


def window_size(name: str, x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
                ceil_mode: bool) -> tuple[int, int]:
    """(P, Q), the outputs of a window of ``kernel`` pixels.  Raises ValueError if it does not fit into the image."""
    for size, k, p, axis in zip(x.shape[2:], kernel, padding, ("high", "wide"), strict=True):
        if size + 2 * p < k:
            raise ValueError(f"{name}: a window {k} pixels {axis} does not fit into an image of {size} pixels padded "
                             f"by {p} on each side; use a larger image, more padding or a smaller kernel")
    P, Q = (output_size(size, k, s, p, ceil_mode)
            for size, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True))
    return P, Q
