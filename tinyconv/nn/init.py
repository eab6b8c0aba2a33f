"""Initial values of a layer's parameters.  All draw from the generator that ``tinyconv.manual_seed`` starts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random


def default(layer: Any) -> None:
    """PyTorch's: weights and bias uniform in +-1/sqrt(fan_in), fan_in = the inputs of one output."""
    bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    layer.weight.copy_(_uniform(bound, layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(_uniform(bound, layer.bias.shape))


def normal(layer: Any, std: float, bias: float = 0.0) -> None:
    """Weights from N(0, std^2), a constant bias: the initialisation of Krizhevsky et al. 2012."""
    layer.weight.copy_(random.weights().standard_normal(layer.weight.shape, np.float32) * np.float32(std))
    if layer.bias is not None:
        layer.bias.copy_(np.full(layer.bias.shape, bias))


def he(layer: Any) -> None:
    """Weights from N(0, 2 / fan_in), bias 0 (He et al. 2015): keeps the variance through layers with ReLU."""
    normal(layer, math.sqrt(2 / math.prod(layer.weight.shape[1:])))


def xavier(layer: Any) -> None:
    """Weights uniform in +-sqrt(6 / (fan_in + fan_out)), bias 0 (Glorot and Bengio 2010)."""
    taps = math.prod(layer.weight.shape[2:])
    fan_in, fan_out = layer.weight.shape[1] * taps, layer.weight.shape[0] * taps
    layer.weight.copy_(_uniform(math.sqrt(6 / (fan_in + fan_out)), layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(np.zeros(layer.bias.shape))


def _uniform(bound: float, shape: tuple[int, ...]) -> np.ndarray:
    return (random.weights().random(shape, np.float32) * 2 - 1) * np.float32(bound)
