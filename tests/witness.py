"""The comparison with PyTorch that most functions get: the same arrays in, the same values and gradients out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinyconv as tc

from .closeness import assert_close
from .layouts import place

# The reference is held to the mathematics in double precision, the fast kernels to what float32 can give.
DTYPES = {"reference": np.float64, "cpu": np.float32, "cpu:1": np.float32, "cuda:0": np.float32}


def agree(torch: Any, device: str, ours: Callable[..., tc.Tensor], theirs: Callable[..., Any],
          arrays: Sequence[np.ndarray], layouts: Sequence[str] | str = "usual", seed: int = 0) -> None:
    """``ours(*tensors)`` and ``theirs(*tensors)`` agree in value, and in the gradient of every argument for a random
    cotangent.  ``arrays`` are rounded to the device's dtype first; PyTorch works in double precision throughout."""
    dtype = DTYPES[device]
    arrays = [a.astype(dtype) for a in arrays]
    layouts = [layouts] * len(arrays) if isinstance(layouts, str) else layouts
    xs = [place(a, device, layout) for a, layout in zip(arrays, layouts, strict=True)]
    ts = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    assert_close(y.numpy(), t.detach().numpy(), what="value")
    assert y.dtype == dtype
    cotangent = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    y.backward(cotangent)
    t.backward(torch.tensor(cotangent.astype(np.float64)))
    for i, (x, u) in enumerate(zip(xs, ts, strict=True)):
        assert x.grad is not None, f"argument {i} got no gradient"
        assert_close(x.grad.numpy(), np.zeros(x.shape) if u.grad is None else u.grad.numpy(), what=f"gradient {i}")


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)
