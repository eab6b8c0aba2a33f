"""tinyconv: deep convolutional networks from scratch.

    import tinyconv as tc
    import tinyconv.functional as F

Importing is quick: what needs Numba, h5py, Pillow or matplotlib brings them with its first use.
"""

import os

# Before anything loads an OpenMP runtime (PyTorch does): kernels/jit.py says why.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

from . import functional, models, nn, optim, parallel
from .device import Device, device, devices
from .function import Function
from .grad_mode import enable_grad, is_grad_enabled, no_grad
from .gradcheck import gradcheck
from .kernels.gpu.ladder import allow_tf32
from .random import manual_seed
from .serialization import load, save
from .tensor import Tensor, tensor
from .timeline import timeline

__version__ = "0.1.0"
__all__ = [
    "Device", "Function", "Tensor", "allow_tf32", "device", "devices", "enable_grad", "functional", "gradcheck",
    "is_grad_enabled", "load", "manual_seed", "models", "nn", "no_grad", "optim", "parallel", "save", "tensor",
    "timeline",
]
