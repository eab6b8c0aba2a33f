"""CUDA kernels on a CPU: PTX, as the compiler emits it, becomes C++ that runs with every access checked."""

from .build import unavailable
from .settings import checking

__all__ = ["checking", "unavailable"]
