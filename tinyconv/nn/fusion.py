"""Fusion: where neighbours in a Sequential are computed in one pass over memory.

A ReLU by itself reads and writes an array as large as a convolution's result, only to cut off what is below 0; the
convolution has each number in a register before it stores it.  So the two have one kernel, and this file says which.

How autograd and fusion meet: they do not.  A fused pair is one Function (``functional/fused.py``) with a forward and a
backward of its own, so the graph has one node where it would have two, and ``function.py`` never hears of it:

    apart       x -> [conv2d] -> a -> [relu] -> y          a and y are kept for backward
    fused       x -> [conv2d, cut off at 0]  -> y          y alone: the gradient counts only where y > 0

What is between the two (a) is never made, so only a place that can see that nobody else wants it may fuse: a
Sequential, which hands each result to the next layer and nowhere else.  A call of a function is never fused.
Neither is anything

- while an observer such as ``summary()`` wants to see what each layer makes;
- that is not exactly one of the classes below: a subclass may compute something else, and so may an object whose
  ``forward`` was replaced;
- inside ``with no_fusion():``, or if the environment variable TINYCONV_FUSION is ``off``.

Results are the same within rounding, and so are the gradients.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from ..functional import fused
from ..tensor import Tensor
from .layers import Conv2d, Linear, LocalResponseNorm, MaxPool2d, ReLU
from .module import Module, observers


def _conv2d_relu(conv: Any, relu: Any, x: Tensor) -> Tensor:
    return fused.conv2d_relu(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.groups, conv.ceil_mode)


def _linear_relu(linear: Any, relu: Any, x: Tensor) -> Tensor:
    return fused.linear_relu(x, linear.weight, linear.bias)


def _norm_max_pool2d(norm: Any, pool: Any, x: Tensor) -> Tensor:
    return fused.local_response_norm_max_pool2d(x, norm.size, norm.alpha, norm.beta, norm.k, pool.kernel_size,
                                                pool.stride, pool.padding, pool.ceil_mode)


# (a layer, the next) -> what computes both.  Of three neighbours the first two that fit are taken.
TABLE: dict[tuple[type[Module], type[Module]], Callable[[Any, Any, Tensor], Tensor]] = {
    (Conv2d, ReLU): _conv2d_relu,
    (Linear, ReLU): _linear_relu,
    (LocalResponseNorm, MaxPool2d): _norm_max_pool2d,
}


class _Mode(threading.local):
    on = True


_mode = _Mode()


@cache
def _wanted() -> bool:
    """What TINYCONV_FUSION says, read once.  Raises ValueError if it is another word."""
    word = os.environ.get("TINYCONV_FUSION") or "on"
    if word not in ("on", "off"):
        raise ValueError(f"TINYCONV_FUSION is {word!r}; use on or off, or unset it")
    return word == "on"


@contextmanager
def no_fusion() -> Iterator[None]:
    """``with no_fusion():`` every layer is computed by itself, in this thread.  Also a decorator."""
    before, _mode.on = _mode.on, False
    try:
        yield
    finally:
        _mode.on = before


def run(layers: Sequence[Module], x: Tensor) -> Tensor:
    """x through all layers, one after the other, neighbours at once where the table has them."""
    at = 0
    while at < len(layers):
        pair = _pair(layers[at:at + 2])
        if pair is None:
            x = layers[at](x)
            at += 1
        else:
            x = pair(layers[at], layers[at + 1], x)
            at += 2
    return x


def _pair(layers: Sequence[Module]) -> Callable[[Any, Any, Tensor], Tensor] | None:
    apart = not _wanted() or not _mode.on or observers.functions
    if apart or len(layers) < 2 or any("forward" in vars(layer) for layer in layers):
        return None
    return TABLE.get((type(layers[0]), type(layers[1])))
