"""Memory of the host by its address: what the emulated device's memory is, too."""

from __future__ import annotations

import ctypes

import numpy as np


def at(address: int, size: int) -> np.ndarray:
    """The host's memory at ``address``, as bytes."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
