"""Modules: what they find inside themselves, and how their state goes out and in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import nn

from ..witness import normal


class Net(nn.Module):
    def __init__(self, device: str = "cpu") -> None:
        self.features = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, device=device), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(12, 4, device=device)
        self.dropout = nn.Dropout(0.5)
        self.scale = nn.Parameter(np.full((4,), 2.0, np.float32), device)

    def forward(self, x: tc.Tensor) -> tc.Tensor:
        return self.dropout(self.head(F.flatten(self.features(x))) * self.scale)


NAMES = ["scale", "features.0.weight", "features.0.bias", "head.weight", "head.bias"]


def test_names_of_parameters(device: str) -> None:
    net = Net(device)
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [p.shape for p in net.parameters()] == [(4,), (3, 2, 3, 3), (3,), (4, 12), (4,)]
    assert [name for name, _ in net.named_modules()] == [
        "", "features", "features.0", "features.1", "features.2", "head", "dropout"]


def test_a_shared_parameter_comes_once(device: str) -> None:
    net = Net(device)
    net.again = net.head
    assert len(net.parameters()) == 5 and list(net.state_dict()) == NAMES


def test_parameters_lie_in_plain_memory(device: str) -> None:
    for p in Net(device).parameters():
        assert p.data.flags.c_contiguous and p.requires_grad


def test_state_round_trip(device: str, tmp_path: Path) -> None:
    one, other = Net(device), Net(device)
    state = one.state_dict()
    assert any(not np.array_equal(a, b) for a, b in zip(state.values(), other.state_dict().values(), strict=True))
    tc.save(state, tmp_path / "net.h5")
    other.load_state_dict(tc.load(tmp_path / "net.h5"))
    x = tc.tensor(normal(1, 2, 2, 4, 4), device)
    np.testing.assert_array_equal(one.eval()(x).numpy(), other.eval()(x).numpy())
    state["scale"][:] = 77  # a copy
    assert one.scale.numpy()[0] == 2


def _break(state: dict[str, Any], how: str) -> None:
    if how == "missing":
        del state["head.weight"]
    elif how == "unknown":
        state["tail.weight"] = np.ones(3)
    elif how == "shape":
        state["head.bias"] = np.ones(5)
    else:
        state["head.bias"] = np.array(["a", "b", "c", "d"])


@pytest.mark.parametrize("how, error, message", [
    ("missing", KeyError, "load_state_dict: .* missing: head.weight; unknown: none"),
    ("unknown", KeyError, "missing: none; unknown: tail.weight"),
    ("shape", ValueError, r"load_state_dict: head.bias has shape \(5,\) in the state, but \(4,\) in this network"),
    ("text", ValueError, "could not convert"),
])
def test_a_state_that_does_not_fit_changes_nothing(device: str, how: str, error: type[Exception], message: str) -> None:
    net = Net(device)
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    _break(state, how)
    with pytest.raises(error, match=message):
        net.load_state_dict(state)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_state_of_another_precision_is_rounded(device: str) -> None:
    net = nn.Linear(2, 1, device=device)
    net.load_state_dict({"weight": np.array([[1 / 3, 2]]), "bias": [0]})
    np.testing.assert_array_equal(net.weight.numpy(), np.float32([[1 / 3, 2]]))
    assert net.weight.dtype == np.float32


def test_train_and_eval_reach_everything(device: str) -> None:
    net = Net(device)
    assert all(m.training for _, m in net.named_modules())
    x = tc.tensor(normal(1, 5, 2, 4, 4), device)
    assert (net(x).numpy() == 0).any()
    assert net.eval() is net and not any(m.training for _, m in net.named_modules())
    y = net(x).numpy()
    assert not (y == 0).any()
    np.testing.assert_array_equal(net(x).numpy(), y)
    assert net.train() is net and (net(x).numpy() == 0).any()


def test_zero_grad_and_backward(device: str) -> None:
    net = Net(device).eval()
    net(tc.tensor(normal(1, 2, 2, 4, 4), device)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
    np.testing.assert_allclose(net.head.bias.grad.numpy(), np.full(4, 4.0))  # two images times scale 2: exact
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_moves_everything_and_the_numbers_stay() -> None:
    net = Net("cpu").eval()
    x = normal(1, 2, 2, 4, 4)
    before = net(tc.tensor(x, "cpu")).numpy()
    assert net.to("reference") is net and {str(p.device) for p in net.parameters()} == {"reference"}
    after = net(tc.tensor(x, "reference")).numpy()
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()  # float32, two orders of summation


def test_sequential(device: str) -> None:
    layers = [nn.Linear(3, 4, device=device), nn.ReLU(), nn.Linear(4, 2, device=device)]
    net = nn.Sequential(*layers)
    x = tc.tensor(normal(1, 5, 3), device)
    np.testing.assert_array_equal(net(x).numpy(), layers[2](layers[1](layers[0](x))).numpy())
    assert len(net) == 3 and net[1] is layers[1] and list(net) == layers and net[-1] is layers[2]
    named = nn.Sequential({"first": layers[0], "second": layers[2]})
    assert [n for n, _ in named.named_parameters()] == ["first.weight", "first.bias", "second.weight", "second.bias"]
    with pytest.raises(TypeError, match="Sequential: 1 must be a Module, not function"):
        nn.Sequential(nn.ReLU(), F.relu)


def test_module_list(device: str) -> None:
    net = nn.ModuleList([nn.Linear(1, 1, device=device), nn.Linear(1, 1, device=device)])
    assert len(net) == 2 and net[1] is list(net)[1]
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_module_without_forward() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward method"):
        Empty()(1)


def test_a_parameter_is_floating() -> None:
    with pytest.raises(TypeError, match="Parameter: must be float32 or float64, not int64"):
        nn.Parameter(np.array([1, 2]))


def test_repr_shows_the_tree() -> None:
    text = repr(Net())
    assert "(features): Sequential(" in text
    assert "(0): Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))" in text
    assert "(head): Linear(12, 4)" in text and "(dropout): Dropout(p=0.5)" in text
