"""ReLU and dropout: functions of single elements."""

from __future__ import annotations

from typing import Any

from .. import random
from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks


class ReLU(Function):
    name = "relu"

    def forward(self, x: Array) -> Array:
        x = self.device.dense(x)
        y = self.device.empty(x.shape, x.dtype)
        self.device.launch("relu.forward", x, y)
        self.save(y)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        gx = self.device.empty(y.shape, y.dtype)
        self.device.launch("relu.backward", y, self.device.dense(gy), gx)
        return (gx,)


class Dropout(Function):
    """The random numbers come from a counter, so backward draws the same again and no mask is kept."""

    name = "dropout"
    options: dict[str, Any]

    def forward(self, x: Array) -> Array:
        x = self.device.dense(x)
        y = self.device.empty(x.shape, x.dtype)
        self.device.launch("dropout.apply", x, y, **self.options)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return (self.forward(gy),)


def relu(x: Tensor) -> Tensor:
    """max(x, 0) for each element; the derivative at 0 is taken as 0; NaN stays NaN."""
    checks.tensors("relu", x=x)
    return ReLU()(x)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, *, stream: int | None = None, step: int | None = None,
            first_sample: int = 0) -> Tensor:
    """In training, each element becomes 0 with probability p, else x / (1 - p), so that its expectation stays x.

    The random number of an element is Philox4x32-10 of the key ``tinyconv.manual_seed`` and the counter (stream, step,
    first_sample + its place in the batch, its index in logical order): the same on every device, in every layout, and
    with any number of threads.

    Args:
        x: (N, ...).
        p: 0 <= p < 1.
        training: False returns x itself.
        stream, step: by default those of this function, whose step goes up with each call.  A layer passes its own.
        first_sample: the place of x[0] in the whole batch, where several processes share one.

    Raises: ValueError if p is out of range.
    """
    checks.tensors("dropout", x=x)
    checks.number("dropout", "p", p, least=0, below=1)
    if not training or p == 0:
        return x
    if x.ndim == 0 or x.size == 0:
        raise ValueError(f"dropout: x must have shape (N, ...), none of them 0; not {x.shape}")
    counter = {"stream": random.FUNCTIONAL_STREAM if stream is None else stream, "first_sample": first_sample,
               "step": random.next_functional_step() if step is None else step}
    for name, value in counter.items():  # each is one 32-bit word of the counter
        most = 2 ** 32 - (len(x) if name == "first_sample" else 1)
        if not checks.is_int(value) or not 0 <= value <= most:
            raise ValueError(f"dropout: {name} must be an int from 0 to {most}, not {value!r}")
    return Dropout(options={"p": float(p), "seed": random.seed(), **counter})(x)
