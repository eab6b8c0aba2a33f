"""The three AlexNets: their sizes, what their neurons see, how they start, and where they may live."""

import re
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import nn
from tinyconv.models import VARIANTS, alexnet

from ..closeness import assert_close
from ..conftest import CUDA
from ..witness import normal


@pytest.fixture(scope="module", params=VARIANTS)
def summary(request: pytest.FixtureRequest) -> tuple[str, nn.Summary]:
    """Of the network at full size, with 1000 classes."""
    size = VARIANTS[request.param]
    return request.param, nn.summary(alexnet(request.param), (1, 3, size, size))


def _lines(summary: nn.Summary, kind: str) -> list[Any]:
    """The lines of one kind; of two towers, those of the first."""
    return [line for line in summary.lines if line.kind == kind and "towers.1" not in line.name]


def test_sizes(summary: tuple[str, nn.Summary]) -> None:
    variant, s = summary
    # caffe: as counted by many; torchvision: as its documentation says; paper: caffe's, but its first layer sees the
    # same 11x11x3 and each hidden layer the same inputs, so the parameters are the same, too
    assert s.parameters == {"caffe": 60_965_224, "torchvision": 61_100_840, "paper": 60_965_224}[variant]
    macs = {"caffe": 724.4, "torchvision": 714.2, "paper": 724.4}[variant]
    assert s.multiply_accumulates / 1e6 == pytest.approx(macs, abs=0.05)


def test_conv1_gives_55_by_55(summary: tuple[str, nn.Summary]) -> None:
    variant, s = summary
    filters = {"caffe": 96, "torchvision": 64, "paper": 48}[variant]
    shapes = [line.output_shape for line in _lines(s, "Conv2d")]
    assert shapes[0] == (1, filters, 55, 55)
    assert [shape[2] for shape in shapes] == [55, 27, 13, 13, 13]
    pools = [line.output_shape[2:] for line in _lines(s, "MaxPool2d")]
    assert pools == [(27, 27), (13, 13), (6, 6)]


def test_receptive_fields(summary: tuple[str, nn.Summary]) -> None:
    """Of conv1, pool1, conv2, pool2, conv3, conv4, conv5, pool5: from k = 11, 3, 5, 3, 3, 3, 3, 3 and strides 4, 2, 1,
    2 ..."""
    _, s = summary
    seen = [line.receptive_field[0] for line in s.lines
            if line.kind in ("Conv2d", "MaxPool2d") and "towers.1" not in line.name]
    assert seen == [11, 19, 51, 67, 99, 131, 163, 195]


def test_filters_of_the_paper() -> None:
    state = {n: p.shape for n, p in alexnet("paper").named_parameters() if n.endswith("weight")}
    for tower in (0, 1):
        shapes = [shape for name, shape in state.items() if name.startswith(f"towers.{tower}.")]
        assert shapes == [(48, 3, 11, 11), (128, 48, 5, 5), (192, 256, 3, 3), (192, 192, 3, 3), (128, 192, 3, 3),
                          (2048, 9216), (2048, 4096)]
    assert state["output.weight"] == (1000, 4096)


# (standard deviation, bias) of conv1 ... conv5, fc6, fc7 and the output
PAPER = [(0.01, 0), (0.01, 1), (0.01, 0), (0.01, 1), (0.01, 1), (0.01, 1), (0.01, 1), (0.01, 0)]
CAFFE = [(0.01, 0), (0.01, 0.1), (0.01, 0), (0.01, 0.1), (0.01, 0.1), (0.005, 0.1), (0.005, 0.1), (0.01, 0)]


def _layers(model: nn.Module) -> list[Any]:
    return [m for _, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


@pytest.mark.parametrize("variant, expected", [("paper", PAPER), ("caffe", CAFFE)])
def test_how_they_start(variant: str, expected: list[tuple[float, float]]) -> None:
    layers = _layers(alexnet(variant, num_classes=100, input_size=67))
    if variant == "paper":
        expected = expected[:7] * 2 + expected[7:]
    for layer, (std, bias) in zip(layers, expected, strict=True):
        weight = layer.weight.numpy()
        # five standard errors of a mean and of a deviation; the seed is fixed
        assert abs(weight.mean()) < 5 * std / weight.size ** 0.5
        assert abs(weight.std() / std - 1) < 5 / (2 * weight.size) ** 0.5
        np.testing.assert_array_equal(layer.bias.numpy(), np.full(layer.bias.shape, np.float32(bias)))


def test_torchvision_starts_as_pytorch_does() -> None:
    for layer in _layers(alexnet("torchvision", num_classes=100, input_size=67)):
        bound = layer.weight[0].size ** -0.5
        assert 0.99 * bound < np.abs(layer.weight.numpy()).max() <= bound * (1 + 1e-6)
        assert np.abs(layer.bias.numpy()).max() <= bound * (1 + 1e-6) and layer.bias.numpy().std() > 0.3 * bound


@pytest.mark.parametrize("variant, init", [("paper", "he"), ("torchvision", "xavier"), ("caffe", "default")])
def test_other_beginnings(variant: str, init: str) -> None:
    """Of all layers but the last of he and xavier, which starts small: see below."""
    layers = _layers(alexnet(variant, num_classes=10, input_size=67, init=init))
    for layer in layers if init == "default" else layers[:-1]:
        w = layer.weight.numpy()
        taps = w[0, 0].size
        std = {"he": (2 / w[0].size) ** 0.5, "xavier": (2 / (taps * (w.shape[0] + w.shape[1]))) ** 0.5,
               "default": (3 * w[0].size) ** -0.5}[init]
        assert abs(w.std() / std - 1) < 5 / (2 * w.size) ** 0.5
        assert (np.abs(layer.bias.numpy()).max() == 0) == (init != "default")


@pytest.mark.parametrize("init, deviation, tol", [
    ("variant", 50, 0.01), ("xavier", 50, 0.05), ("default", 50, 0.05),
    ("he", 1, 0.1)])  # keeps the size of its input all the way through, so that of pixels it cannot be true
def test_the_loss_starts_at_ln_of_the_classes(init: str, deviation: float, tol: float) -> None:
    """Pixels have a deviation of about 50 once the mean image is taken off; small logits may add a few per cent."""
    model = alexnet("caffe", num_classes=10, input_size=63, init=init).eval()
    x = tc.tensor(deviation * normal(1, 4, 3, 63, 63))
    assert F.cross_entropy(model(x), [0, 3, 6, 9]).item() == pytest.approx(np.log(10), rel=tol)


def test_norms_of_the_variants() -> None:
    """k=2 and alpha=1e-4 of the paper, whose formula does not divide by the window of 5; Caffe's k=1 and a divided
    1e-4."""
    for variant, alpha, k in (("paper", 5e-4, 2), ("caffe", 1e-4, 1)):
        norms = [m for _,
                 m in alexnet(variant, 2, input_size=67).named_modules() if isinstance(m, nn.LocalResponseNorm)]
        assert {(m.size, m.alpha, m.beta, m.k) for m in norms} == {(5, alpha, 0.75, k)}
        assert len(norms) == (4 if variant == "paper" else 2)
    assert not any(isinstance(m, nn.LocalResponseNorm) for _, m in alexnet("torchvision", 2).named_modules())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size, classes", [(63, 3), (67, 1)])
def test_small_images_and_few_classes(variant: str, size: int, classes: int) -> None:
    """The logits are those of the same layers applied one by one, and every weight gets a gradient."""
    model = alexnet(variant, num_classes=classes, input_size=size).eval()
    x = tc.tensor(50 * normal(1, 2, 3, size, size))
    y = model(x)
    assert y.shape == (2, classes) and np.isfinite(y.numpy()).all() and np.abs(y.numpy()).max() > 0
    y.backward(np.ones((2, classes)))
    for name, p in model.named_parameters():
        assert p.grad is not None and np.abs(p.grad.numpy()).max() > 0, name
    assert_close(_layers(model)[-1].bias.grad.numpy(), np.full(classes, 2, np.float32))


@pytest.mark.parametrize("options, message", [
    ({"variant": "lenet"}, "alexnet: variant must be one of paper, caffe, torchvision, not 'lenet'"),
    ({"init": "zeros"}, "alexnet: init must be one of variant, he, xavier, default, not 'zeros'"),
    ({"num_classes": 0}, "alexnet: num_classes must be an int of at least 1, not 0"),
    ({"devices": ()}, "alexnet: 'paper' has 2 towers, but devices names 0"),
    ({"devices": ("cpu",) * 3}, "alexnet: 'paper' has 2 towers, but devices names 3"),
    ({"variant": "caffe", "devices": ("cpu", "cpu")}, "alexnet: 'caffe' has 1 tower, but devices names 2"),
    ({"devices": ("tpu",)}, "device: there is no device 'tpu' here"),
    ({"input_size": 20}, "alexnet: an input of 20 pixels is too small")])
def test_what_cannot_be_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        alexnet(**options)


def _step(devices: tuple[str, ...],
          variant: str = "paper") -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One step in training mode, dropout on: loss, gradients, and weights after it."""
    tc.manual_seed(11)
    model = alexnet(variant, num_classes=5, input_size=63, devices=devices, init="he")
    x = tc.tensor(normal(3, 2, 3, 63, 63), devices[0])
    loss = F.cross_entropy(model(x), [1, 4])
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    tc.optim.SGD(model.parameters(), lr=0.1).step()
    return loss.item(), gradients, model.state_dict()


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_one_device_or_the_same_one_twice_makes_no_difference(device: str) -> None:
    once, twice = _step((device,)), _step((device, device))
    assert once[0] == twice[0]
    for part in (1, 2):
        for name, value in once[part].items():
            assert value.tobytes() == twice[part][name].tobytes(), name


def test_towers_on_two_devices_agree_with_both_on_one() -> None:
    """Different kernels, so equal to rounding only: float32, 1e-4 (see closeness.py), and ten times that for gradients
    that came through seventeen layers."""
    together, apart, slow = _step(("cpu",)), _step(("reference", "cpu")), _step(("reference",))
    for other in (apart, slow):
        assert other[0] == pytest.approx(together[0], rel=1e-4)
        for name in together[1]:
            assert_close(other[1][name], together[1][name], tol=1e-3, what=name)
            assert_close(other[2][name], together[2][name], tol=1e-4, what=name)


@pytest.mark.parametrize("devices", [pytest.param(("cuda:0",), marks=CUDA.marks),
                                     pytest.param(("cpu", "cuda:0"), marks=CUDA.marks)])
def test_towers_on_a_gpu_agree_with_those_on_a_cpu(devices: tuple[str, ...]) -> None:
    """Bounds as above."""
    together, there = _step(("cpu",)), _step(devices)
    assert there[0] == pytest.approx(together[0], rel=1e-4)
    for name in together[1]:
        assert_close(there[1][name], together[1][name], tol=1e-3, what=name)
        assert_close(there[2][name], together[2][name], tol=1e-4, what=name)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_step_agrees_with_one_on_the_reference(device: str) -> None:
    """Groups are in this variant; the paper's is above, and torchvision's is compared with PyTorch."""
    fast, slow = _step((device,), "caffe"), _step(("reference",), "caffe")
    assert slow[0] == pytest.approx(fast[0], rel=1e-4)
    for name in fast[1]:
        assert_close(slow[1][name], fast[1][name], tol=1e-3, what=name)
        assert_close(slow[2][name], fast[2][name], tol=1e-4, what=name)


def test_placement() -> None:
    model = alexnet("paper", num_classes=2, input_size=63, devices=("cpu", "reference"))
    places = {name.split(".")[1] if name.startswith("towers") else "output": str(p.device)
              for name, p in model.named_parameters()}
    assert places == {"0": "cpu", "1": "reference", "output": "cpu"}


def test_training_learns() -> None:
    """A batch of four that is shown twelve times is known by heart: the loss falls from about ln 2 to a fifth of
    that."""
    model = alexnet("paper", num_classes=2, input_size=63, init="he").eval()
    optimizer = tc.optim.SGD(model.parameters(), lr=0.002)
    x, labels = tc.tensor(normal(1, 4, 3, 63, 63)), [0, 1, 1, 0]
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(model(x), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(np.log(2), rel=0.05) and losses[-1] < 0.2 * losses[0]
