"""The networks against the same ones built of PyTorch's layers: logits, and a whole training run step by step."""

from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.models import alexnet

from ..closeness import assert_close
from ..conftest import CUDA
from ..witness import normal

SIZES = [(224, "cpu"), (95, "cpu"), pytest.param(95, "cuda:0", marks=CUDA.marks)]


def _torchvision_in_pytorch(torch: Any, classes: int) -> Any:
    """torchvision's alexnet, layer by layer, under the names of its state dict."""
    t = torch.nn
    features = t.Sequential(
        t.Conv2d(3, 64, 11, stride=4, padding=2), t.ReLU(), t.MaxPool2d(3, 2),
        t.Conv2d(64, 192, 5, padding=2), t.ReLU(), t.MaxPool2d(3, 2),
        t.Conv2d(192, 384, 3, padding=1), t.ReLU(), t.Conv2d(384, 256, 3, padding=1), t.ReLU(),
        t.Conv2d(256, 256, 3, padding=1), t.ReLU(), t.MaxPool2d(3, 2))
    classifier = t.Sequential(
        t.Dropout(), t.Linear(256 * 6 * 6, 4096), t.ReLU(), t.Dropout(), t.Linear(4096, 4096), t.ReLU(),
        t.Linear(4096, classes))

    class AlexNet(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.avgpool, self.classifier = features, t.AdaptiveAvgPool2d(6), classifier

        def forward(self, x: Any) -> Any:
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    return AlexNet()


def _weights(torch: Any, network: Any) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in network.state_dict().items()}


@pytest.mark.parametrize("size, device", SIZES)
def test_logits_of_torchvision(torch: Any, size: int, device: str) -> None:
    torch.manual_seed(0)
    theirs = _torchvision_in_pytorch(torch, 10).eval()
    ours = alexnet("torchvision", num_classes=10, input_size=size, devices=(device,)).eval()
    ours.load_state_dict(_weights(torch, theirs))
    x = normal(1, 2, 3, size, size).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor(x)).numpy()
    assert_close(ours(tc.tensor(x, device)).numpy(), expected, tol=1e-4)


@pytest.mark.parametrize("algorithm, device", [
    ("direct", "cpu"), ("pairs", "cpu"), ("winograd", "cpu"),
    pytest.param("", "cuda:0", marks=[*CUDA.marks, pytest.mark.slow])])
def test_fifty_steps_of_training(torch: Any, monkeypatch: pytest.MonkeyPatch, algorithm: str, device: str) -> None:
    """The same weights, batches and constant learning rate (so that the two SGDs are the same), dropout off: the loss
    curves agree step by step.  Rounding differences grow as training goes on; after 50 steps they are still far below
    1e-3, while a wrong weight decay of 5e-4 instead of 0 is not."""
    monkeypatch.setenv("TINYCONV_CONV", algorithm)
    torch.manual_seed(0)
    theirs = _torchvision_in_pytorch(torch, 10).eval()
    ours = alexnet("torchvision", num_classes=10, input_size=67, devices=(device,)).eval()
    ours.load_state_dict(_weights(torch, theirs))
    optimizer = tc.optim.SGD(ours.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    peer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images, labels = normal(2, 20, 3, 67, 67).astype(np.float32), np.random.default_rng(3).integers(0, 10, 20)
    curve, expected = [], []
    for step in range(50):
        batch = np.arange(4 * step, 4 * step + 4) % 20
        loss = F.cross_entropy(ours(tc.tensor(images[batch], device)), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peer.zero_grad()
        other = torch.nn.functional.cross_entropy(theirs(torch.tensor(images[batch])), torch.tensor(labels[batch]))
        other.backward()
        peer.step()
        curve.append(loss.item())
        expected.append(other.item())
    np.testing.assert_allclose(curve, expected, rtol=1e-3)
    assert max(expected) - min(expected) > 0.1, "the curve is flat and would prove nothing"


def _single_column(torch: Any, state: dict[str, np.ndarray], x: Any) -> Any:
    """The two towers of the paper as one column with groups, as bvlc_alexnet writes them: filters one tower after the
    other."""
    t = torch.nn.functional

    def both(layer: str) -> tuple[Any, Any]:
        return tuple(torch.tensor(np.concatenate([state[f"towers.{i}.{layer}.{part}"] for i in (0, 1)]))
                     for part in ("weight", "bias"))

    # Inside each tower: no window reaches across; the paper's alpha 1e-4 times its window of 5
    def norm(x: Any) -> Any:
        return torch.cat([t.local_response_norm(half, 5, alpha=5e-4, beta=0.75, k=2) for half in x.chunk(2, 1)], 1)

    def pool(x: Any) -> Any:
        return t.max_pool2d(x, 3, 2, ceil_mode=True)

    missing = -(x.shape[2] - 11) % 4  # ceil mode: zeros for the last window of conv1
    x = t.pad(x, (0, missing, 0, missing))
    x = pool(norm(torch.relu(t.conv2d(x, *both("lower.conv1"), stride=4))))
    x = pool(norm(torch.relu(t.conv2d(x, *both("lower.conv2"), padding=2, groups=2))))
    x = torch.relu(t.conv2d(x, *both("upper.conv3"), padding=1))
    x = torch.relu(t.conv2d(x, *both("upper.conv4"), padding=1, groups=2))
    x = pool(torch.relu(t.conv2d(x, *both("upper.conv5"), padding=1, groups=2)))
    x = torch.relu(t.linear(x.flatten(1), *both("fc6.linear")))
    x = torch.relu(t.linear(x, *both("fc7.linear")))
    return t.linear(x, torch.tensor(state["output.weight"]), torch.tensor(state["output.bias"]))


@pytest.mark.parametrize("size, device", SIZES)
def test_two_towers_are_a_grouped_column(torch: Any, size: int, device: str) -> None:
    """Pixels with a deviation of 50, as photos have: the norm then divides by 2.1 and more, and a wrong one would
    show."""
    model = alexnet("paper", num_classes=10, input_size=size, devices=(device,), init="he").eval()
    x = 50 * normal(1, 2, 3, size, size).astype(np.float32)
    y = model(tc.tensor(x, device))
    with torch.no_grad():
        expected = _single_column(torch, model.state_dict(), torch.tensor(x)).numpy()
    assert_close(y.numpy(), expected, tol=1e-4)
