"""How pixels are scaled for a network, and how a checkpoint tells it: (pixel - mean) / std, colour by colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_NAMES = ("pixel mean", "pixel std")


def normalisation(data: Any, variant: str, init: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the training pixels of ``data`` (a pack), (3,) each, in 0..255.

    The originals of 2012 only took off the mean, and their initial weights of 0.01 are meant for pixels up to 255; a
    set of one colour has no deviation to divide by.  Then the second is 1."""
    raw = init == "variant" and variant in ("paper", "caffe")
    return data.mean, np.ones(3) if raw else np.where(data.std > 0, data.std, 1)


def as_settings(mean: np.ndarray, std: np.ndarray) -> dict[str, str]:
    """As the settings of a checkpoint have it: three numbers each, with blanks between."""
    return {name: " ".join(map(repr, values.tolist())) for name, values in zip(_NAMES, (mean, std), strict=True)}


def from_settings(settings: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """The way back; None if the settings do not tell (older checkpoints).  Raises ValueError if they are damaged."""
    if not set(_NAMES) <= set(settings):
        return None
    try:
        mean, std = (np.array(str(settings[name]).split(), np.float64).reshape(3) for name in _NAMES)
    except ValueError as error:
        raise ValueError(f"its pixel mean {settings['pixel mean']!r} or std {settings['pixel std']!r} is not three "
                         "numbers") from error
    return mean, std
