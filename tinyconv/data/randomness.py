"""Random numbers that depend on (seed, epoch, purpose) alone: the same on any machine, with any workers."""

from __future__ import annotations

import numpy as np

# What the numbers are for; each purpose has a stream of its own.
ORDER = 0
AUGMENTATION = 1


def generator(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """The stream for one purpose in one epoch. Raises ValueError: a negative seed or epoch."""
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed {seed} and epoch {epoch} must be at least 0")
    return np.random.default_rng([seed, epoch, purpose])
