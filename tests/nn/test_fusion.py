"""Neighbours in a Sequential are computed at once, and nobody can tell but by the clock."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import nn
from tinyconv.functional import fused
from tinyconv.models import VARIANTS, alexnet

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import normal


def _functions(y: tc.Tensor) -> list[str]:
    """The types of the Functions that made y, the last one first, along the first inputs."""
    names = []
    while y.creator is not None:
        names.append(type(y.creator).__name__ + "+ReLU" * getattr(y.creator, "relu", False))
        y = y.creator.inputs[0]  # type: ignore[assignment]
    return names


def _net(device: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, device=device), nn.ReLU(), nn.LocalResponseNorm(5, alpha=1.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 6, 3, groups=2, bias=False, device=device), nn.ReLU(), nn.Flatten(), nn.Dropout(),
        nn.Linear(24, 5, device=device), nn.ReLU(), nn.Linear(5, 4, device=device))


def _step(model: nn.Module, images: np.ndarray, device: str) -> dict[str, np.ndarray]:
    """The value and all gradients of a training step whose loss depends on every logit."""
    for _, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.step = 0  # the same mask each time
    model.zero_grad()
    x = tc.tensor(images, device, requires_grad=True)
    y = model(x)
    y.backward(np.random.default_rng(3).standard_normal(y.shape))
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    assert x.grad is not None and len(gradients) == len(model.parameters())
    return {"logits": y.numpy(), "x": x.grad.numpy(), **gradients}


def _agree(model: nn.Module, images: np.ndarray, device: str) -> None:
    together = _step(model, images, device)
    with nn.no_fusion():
        apart = _step(model, images, device)
    for name, value in together.items():
        assert np.abs(value).max() > 0, name
        assert_close(value, apart[name], tol=1e-5, what=name)  # the same sums in float32, rounded at other places


def test_which_neighbours_are_fused(device: str) -> None:
    net, x = _net(device), tc.tensor(np.ones((1, 3, 9, 9)), device)
    assert _functions(net.eval()(x)) == ["Linear", "Linear+ReLU", "Reshape", "Conv2d+ReLU",
                                         "LocalResponseNormMaxPool2d", "Conv2d+ReLU"]
    with nn.no_fusion():
        apart = ["Linear", "ReLU", "Linear", "Reshape", "ReLU", "Conv2d", "MaxPool2d", "LocalResponseNorm", "ReLU",
                 "Conv2d"]
        assert _functions(net(x)) == apart
    assert _functions(net(x)) != apart


def test_values_and_gradients_are_the_same(device: str) -> None:
    _agree(_net(device), normal(1, 4, 3, 9, 9), device)


@pytest.mark.parametrize("variant", VARIANTS)
def test_alexnets_are_the_same(variant: str) -> None:
    model = alexnet(variant, num_classes=10, input_size=67, init="he")
    _agree(model, normal(2, 2, 3, 67, 67), "cpu")


def test_nothing_is_fused_that_is_not_exactly_known() -> None:
    class Shifted(nn.ReLU):
        def forward(self, x: tc.Tensor) -> tc.Tensor:
            return F.relu(x - 1.0)

    x, conv = tc.tensor(normal(4, 1, 3, 5, 5)), nn.Conv2d(3, 4, 3)
    assert _functions(nn.Sequential(conv, Shifted())(x))[0] == "ReLU"
    replaced = nn.ReLU()
    replaced.forward = lambda x: x * 2.0  # type: ignore[method-assign]
    np.testing.assert_array_equal(nn.Sequential(conv, replaced)(x).numpy(), 2 * conv(x).numpy())
    assert _functions(F.relu(conv(x))) == ["ReLU", "Conv2d"]


def test_a_layer_that_works_twice_is_fused_twice() -> None:
    fc, relu = nn.Linear(5, 5), nn.ReLU()
    _agree(nn.Sequential({"a": fc, "b": relu, "c": fc, "d": relu, "e": fc}), normal(5, 3, 5), "cpu")


def test_a_changed_result_is_noticed() -> None:
    """Backward reads y, so y must not change: as with a ReLU by itself."""
    y = nn.Sequential(nn.Linear(3, 3), nn.ReLU())(tc.tensor(normal(6, 2, 3)))
    y.copy_(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="linear: a tensor that backward needs was changed in place"):
        y.sum().backward()


def test_errors_name_the_function_of_the_layer() -> None:
    with pytest.raises(ValueError, match="conv2d: weight has 3 input channels"):
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())(tc.tensor(np.ones((1, 2, 5, 5))))
    with pytest.raises(ValueError, match="linear: x has 2 features"):
        nn.Sequential(nn.Linear(3, 4), nn.ReLU())(tc.tensor(np.ones((1, 2))))
    norm = nn.Sequential(nn.LocalResponseNorm(5), nn.MaxPool2d(7))
    with pytest.raises(ValueError, match="max_pool2d: a window 7 pixels high does not fit"):
        norm(tc.tensor(np.ones((1, 2, 5, 5))))
    with pytest.raises(ValueError, match="local_response_norm: x must have shape"):
        norm(tc.tensor(np.ones((2, 5, 5))))


def test_nan_goes_through() -> None:
    images = normal(7, 1, 3, 5, 5)
    images[0, 1, 2, 2] = np.nan
    assert np.isnan(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())(tc.tensor(images)).numpy()).all()
    fc = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    assert np.isnan(fc(tc.tensor(np.array([[1.0, np.nan, 2.0]]))).numpy()).all()


def test_the_environment_can_forbid_it() -> None:
    program = ("import numpy as np, tinyconv as tc\n"
               "net = tc.nn.Sequential(tc.nn.Linear(2, 2, device='reference'), tc.nn.ReLU())\n"
               "print(net(tc.tensor(np.ones((1, 2)), 'reference')).creator.name)")
    for value, expected in (("off", "relu"), ("on", "linear")):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                              env={**os.environ, "TINYCONV_FUSION": value})
        assert done.stdout.split() == [expected]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                          env={**os.environ, "TINYCONV_FUSION": "OFF"})
    assert "ValueError: TINYCONV_FUSION is 'OFF'; use on or off, or unset it" in done.stderr


@example((2, 7, 9, 8), 5, 0.75, (3, 3), (2, 2), (0, 0), True, "usual")
@example((1, 7, 3, 3), 4, 0.75, (2, 3), (3, 1), (1, 2), True, "usual")  # windows that skip rows; even size
@example((1, 3, 20, 2), 9, 0.5, (20, 1), (1, 1), (7, 0), False, "sliced")  # more than 256 places would be 16 x 17
@example((2, 2, 17, 17), 3, 1.0, (17, 16), (1, 1), (0, 0), False, "usual")  # they are: two bytes a place
@given(shape=st.tuples(*(st.integers(1, n) for n in (3, 9, 9, 9))), size=st.integers(1, 7),
       beta=st.sampled_from([0.5, 0.75, 1.0, 1.3]), kernel_size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
       stride=st.tuples(st.integers(1, 5), st.integers(1, 5)), padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
       ceil_mode=st.booleans(), layout=st.sampled_from(LAYOUTS))
def test_norm_and_pool_at_once(device: str, shape: tuple[int, ...], size: int, beta: float, kernel_size: Any,
                               stride: Any, padding: Any, ceil_mode: bool, layout: str) -> None:
    padding = tuple(min(p, k - 1) for p, k in zip(padding, kernel_size, strict=True))
    kernel_size = tuple(min(k, n + 2 * p) for k, n, p in zip(kernel_size, shape[2:], padding, strict=True))
    padding = tuple(min(p, k - 1) for p, k in zip(padding, kernel_size, strict=True))
    kernel_size = tuple(min(k, n + 2 * p) for k, n, p in zip(kernel_size, shape[2:], padding, strict=True))
    image = normal(8, *shape)
    x, u = (place(image, device, layout, np.float64) for _ in range(2))
    y = fused.local_response_norm_max_pool2d(x, size, 1.5, beta, 1.2, kernel_size, stride, padding, ceil_mode)
    v = F.max_pool2d(F.local_response_norm(u, size, 1.5, beta, 1.2), kernel_size, stride, padding, ceil_mode)
    cotangent = normal(9, *y.shape)
    y.backward(cotangent)
    v.backward(cotangent)
    assert x.grad is not None and u.grad is not None
    assert_close(y.numpy(), v.numpy(), tol=1e-12)  # float64, the same operations
    assert_close(x.grad.numpy(), u.grad.numpy(), tol=1e-12)


def test_gradients_of_norm_and_pool_agree_with_finite_differences(device: str) -> None:
    x = place(normal(10, 2, 7, 5, 4), device, "usual", np.float64)
    assert tc.gradcheck(lambda x: fused.local_response_norm_max_pool2d(x, 4, 1.5, 0.75, 1.2, 3, 2, 1, True), x)
