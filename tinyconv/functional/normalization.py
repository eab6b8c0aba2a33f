"""Normalisation across channels."""

from __future__ import annotations

from typing import Any

from ..device import Array
from ..function import Function
from ..tensor import Tensor
from . import checks


class LocalResponseNorm(Function):
    """See ``kernels/lrn/README.md`` for the formulas."""

    name = "local_response_norm"
    options: dict[str, Any]

    def forward(self, x: Array) -> Array:
        x = self.device.dense(x)
        y, scale = self.device.empty(x.shape, x.dtype), self.device.empty(x.shape, x.dtype)
        self.device.launch("lrn.forward", x, y, scale, **self.options)
        self.save(x, y, scale)
        return y

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        x, y, scale = self.saved
        gx = self.device.empty(x.shape, x.dtype)
        self.device.launch("lrn.backward", x, y, scale, self.device.dense(gy), gx, **self.options)
        return (gx,)


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """y[c] = x[c] / (k + alpha/size * sum of x[j]**2 over j from c - size//2 to c + (size-1)//2) ** beta.

    PyTorch's, ONNX's and Caffe's convention: alpha is divided by size.  The formula printed in Krizhevsky et al. 2012
    does not divide; to follow it to the letter pass alpha * size.  An even ``size`` takes one channel more on the
    left.

    Args:
        x: (N, C, H, W).
        size: channels in the window; at least 1.
        alpha, beta, k: as in the formula; k > 0 (with k = 0 the base could be 0), alpha >= 0.

    Raises: ValueError for arguments out of range, TypeError for wrong types.
    """
    return LocalResponseNorm(options=checked(x, size, alpha, beta, k))(x)


def checked(x: Tensor, size: int, alpha: float, beta: float, k: float) -> dict[str, Any]:
    """The options of the kernel, once the arguments of :func:`local_response_norm` are checked."""
    checks.images("local_response_norm", x)
    if not checks.is_int(size) or size < 1:
        raise ValueError(f"local_response_norm: size must be an int of at least 1, not {size!r}")
    checks.number("local_response_norm", "alpha", alpha, least=0)
    checks.number("local_response_norm", "beta", beta)
    checks.number("local_response_norm", "k", k, above=0)
    return {"size": int(size), "alpha": float(alpha), "beta": float(beta), "k": float(k)}
