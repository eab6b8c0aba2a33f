"""Each layer hands its parameters and options to its function."""

from collections.abc import Callable

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import nn

from ..witness import normal

X = normal(1, 2, 6, 9, 8).astype(np.float32)


@pytest.mark.parametrize("layer, function", [
    (lambda: nn.ReLU(), F.relu),
    (lambda: nn.Flatten(), F.flatten),
    (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), lambda x: F.max_pool2d(x, 3, 2, 1, True)),
    (lambda: nn.MaxPool2d((2, 3)), lambda x: F.max_pool2d(x, (2, 3))),
    (lambda: nn.AvgPool2d(3, (2, 1), 1, count_include_pad=False),
     lambda x: F.avg_pool2d(x, 3, (2, 1), 1, False, False)),
    (lambda: nn.AvgPool2d(2), lambda x: F.avg_pool2d(x, 2)),
    (lambda: nn.AdaptiveAvgPool2d((2, 3)), lambda x: F.adaptive_avg_pool2d(x, (2, 3))),
    (lambda: nn.LocalResponseNorm(3, alpha=1.0, beta=0.5, k=2.0), lambda x: F.local_response_norm(x, 3, 1.0, 0.5, 2.0)),
])
def test_layers_without_parameters(device: str, layer: Callable[[], nn.Module],
                                   function: Callable[[tc.Tensor], tc.Tensor]) -> None:
    x = tc.tensor(X, device)
    np.testing.assert_array_equal(layer()(x).numpy(), function(x).numpy())
    assert layer().parameters() == []


@pytest.mark.parametrize("bias", [True, False])
def test_conv2d(device: str, bias: bool) -> None:
    layer = nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(0, 1), groups=2, bias=bias, ceil_mode=True, device=device)
    x = tc.tensor(X, device)
    expected = F.conv2d(x, layer.weight, layer.bias, (2, 1), (0, 1), 2, True)
    np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())
    assert layer.weight.shape == (4, 3, 3, 2) and len(layer.parameters()) == 1 + bias


@pytest.mark.parametrize("bias", [True, False])
def test_linear(device: str, bias: bool) -> None:
    layer = nn.Linear(8, 5, bias=bias, device=device)
    x = tc.tensor(X[0, 0], device)
    np.testing.assert_array_equal(layer(x).numpy(), F.linear(x, layer.weight, layer.bias).numpy())
    assert layer.weight.shape == (5, 8) and len(layer.parameters()) == 1 + bias


def test_dropout_has_a_stream_of_its_own_and_counts_its_steps(device: str) -> None:
    one, two = nn.Dropout(0.5), nn.Dropout(0.5)
    x = tc.tensor(np.ones((2, 300)), device)
    assert (one.stream, two.stream) == (1, 2)
    first, other, second = one(x).numpy(), two(x).numpy(), one(x).numpy()
    np.testing.assert_array_equal(first, F.dropout(x, 0.5, stream=1, step=0).numpy())
    np.testing.assert_array_equal(other, F.dropout(x, 0.5, stream=2, step=0).numpy())
    np.testing.assert_array_equal(second, F.dropout(x, 0.5, stream=1, step=1).numpy())
    one.eval()
    assert one(x) is x and one.step == 2
