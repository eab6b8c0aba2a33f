"""Initial values.  The bounds on means and deviations are 5 standard errors, for a seed that is fixed."""

import math
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn

LAYERS = {"conv": lambda: nn.Conv2d(32, 64, 5), "grouped": lambda: nn.Conv2d(32, 64, 5, groups=2),
          "linear": lambda: nn.Linear(300, 200)}
FAN_IN = {"conv": 32 * 25, "grouped": 16 * 25, "linear": 300}
FAN_OUT = {"conv": 64 * 25, "grouped": 64 * 25, "linear": 200}


def _check(values: np.ndarray, std: float, uniform: bool) -> None:
    """Mean 0, deviation ``std``; a uniform distribution ends at sqrt(3) deviations and nearly gets there."""
    n = values.size
    assert abs(values.mean()) < 5 * std / math.sqrt(n)
    # var(sample deviation) = std**2 (kurtosis - 1) / (4 n); kurtosis 1.8 for uniform, 3 for normal numbers
    assert abs(values.std() - std) < 5 * std * math.sqrt((0.8 if uniform else 2) / 4 / n)
    largest = np.abs(values).max()
    assert (0.99 < largest / (math.sqrt(3) * std) <= 1 + 1e-6) if uniform else largest > 3.5 * std


@pytest.mark.parametrize("kind", LAYERS)
def test_default(kind: str) -> None:
    layer = LAYERS[kind]()
    _check(layer.weight.numpy(), 1 / math.sqrt(3 * FAN_IN[kind]), uniform=True)
    assert 0 < np.abs(layer.bias.numpy()).max() <= 1 / math.sqrt(FAN_IN[kind])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", ["he", "xavier", "normal"])
def test_others(kind: str, name: str) -> None:
    layer = LAYERS[kind]()
    options: dict[str, Any] = {"normal": {"std": 0.03, "bias": 1.5}}.get(name, {})
    getattr(nn.init, name)(layer, **options)
    std = {"he": math.sqrt(2 / FAN_IN[kind]), "xavier": math.sqrt(2 / (FAN_IN[kind] + FAN_OUT[kind])),
           "normal": 0.03}[name]
    _check(layer.weight.numpy(), std, uniform=name == "xavier")
    np.testing.assert_array_equal(layer.bias.numpy(), np.full(layer.bias.shape, 1.5 if name == "normal" else 0))


@pytest.mark.parametrize("name", ["default", "he", "xavier"])
def test_a_layer_without_bias(name: str) -> None:
    layer = nn.Linear(3, 2, bias=False)
    getattr(nn.init, name)(layer)
    assert layer.bias is None and np.abs(layer.weight.numpy()).max() > 0


def test_a_seed_repeats_everything(device: str) -> None:
    def weights() -> np.ndarray:
        return nn.Conv2d(2, 3, 3, device=device).weight.numpy()

    tc.manual_seed(4)
    one, two = weights(), weights()
    assert np.abs(one - two).max() > 0.01
    tc.manual_seed(4)
    np.testing.assert_array_equal(weights(), one)
    tc.manual_seed(5)
    assert np.abs(weights() - one).max() > 0.01
