"""Every random number in tinyconv follows from one seed.

Initial weights come from a NumPy generator.  Dropout uses counters instead (see ``kernels/dropout/README.md``): a layer
has a stream, numbered in the order of construction, and a step, counted by the layer.
"""

from __future__ import annotations

import numpy as np

FUNCTIONAL_STREAM = 0  # of calls to functional.dropout; layers are numbered from 1


class _State:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.weights = np.random.default_rng(seed)
        self.streams = FUNCTIONAL_STREAM
        self.functional_step = 0


_state = _State(0)


def manual_seed(seed: int) -> None:
    """Start all random numbers anew from ``seed`` (0 <= seed < 2**64).  Raises ValueError for others.

    Set it before a model is built: its initial weights and the streams of its dropout layers follow from it."""
    global _state
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2 ** 64:
        raise ValueError(f"manual_seed: seed must be an int from 0 to 2**64 - 1, not {seed!r}")
    _state = _State(int(seed))


def seed() -> int:
    return _state.seed


def weights() -> np.random.Generator:
    """The generator of initial weights."""
    return _state.weights


def next_stream() -> int:
    """A dropout stream that no other layer has."""
    _state.streams += 1
    return _state.streams


def next_functional_step() -> int:
    _state.functional_step += 1
    return _state.functional_step - 1
