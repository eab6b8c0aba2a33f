"""A check of gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tensor import Tensor


class GradientError(AssertionError):
    """A gradient that does not agree with finite differences."""


def gradcheck(f: Callable[..., Tensor], *inputs: Any, eps: float | None = None, rtol: float | None = None,
              atol: float | None = None, seed: int = 0) -> bool:
    """Whether the gradients of ``f`` with respect to each input that requires one agree with central differences.

    For a random cotangent c, the gradient of L = sum(c f(inputs)) with respect to element i of an input must be
    (L(x_i + eps) - L(x_i - eps)) / (2 eps) within atol + rtol |the latter|.

    Args:
        f: a function of tensors that gives a tensor; the same for the same inputs (no dropout with a moving counter).
        inputs: tensors, float64 for a sharp check, away from points where f has no derivative; others are passed on.
        eps, rtol, atol: by default 1e-6, 1e-5, 1e-7 in float64 and 1e-2, 2e-2, 1e-2 in float32.
        seed: of the cotangent.

    Returns: True.

    Raises: GradientError naming function, argument, index and the two values; ValueError if no input requires a
    gradient.
    """
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck: no input requires a gradient; make one with requires_grad=True")
    single = any(inputs[i].dtype == np.float32 for i in wanted)
    eps, rtol, atol = (given if given is not None else default for given, default in zip(
        (eps, rtol, atol), (1e-2, 2e-2, 1e-2) if single else (1e-6, 1e-5, 1e-7), strict=True))
    # The same arrays, for their layout is part of what is checked, as leaves: their own history does not matter here.
    leaves = [Tensor(x.data, x.device, x.requires_grad) if isinstance(x, Tensor) else x for x in inputs]
    result = f(*leaves)
    if not np.array_equal(result.numpy(), f(*leaves).numpy(), equal_nan=True):
        raise ValueError("gradcheck: f gives another result each time; fix its random numbers, for dropout with step=")
    cotangent = np.random.default_rng(seed).standard_normal(result.shape).astype(result.dtype)
    result.backward(cotangent)
    name = getattr(f, "__name__", type(f).__name__)
    for i in wanted:
        gradient = leaves[i].grad
        if gradient is None:
            raise GradientError(f"gradcheck: {name}: argument {i} got no gradient")
        _compare(name, f, inputs, i, gradient.numpy(), cotangent.astype(np.float64), eps, rtol, atol)
    return True


def _compare(name: str, f: Callable[..., Tensor], inputs: tuple[Any, ...], argument: int, gradient: np.ndarray,
             cotangent: np.ndarray, eps: float, rtol: float, atol: float) -> None:
    values = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
    for index in np.ndindex(values[argument].shape):

        def loss(step: float, index: tuple[int, ...] = index) -> float:
            moved = values[argument].copy()
            moved[index] += step
            y = f(*(Tensor(x.device.upload(moved), x.device) if i == argument else x for i, x in enumerate(inputs)))
            return float((y.numpy() * cotangent).sum())

        numeric = (loss(eps) - loss(-eps)) / (2 * eps)
        analytic = float(gradient[index])
        if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
            raise GradientError(f"gradcheck: {name}: argument {argument}, index {index}: backward gives "
                                f"{analytic:.8g}, finite differences {numeric:.8g}")
