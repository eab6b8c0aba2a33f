"""The table of a network: every number by hand for a small one."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn


def _net(device: str) -> nn.Sequential:
    return nn.Sequential({
        "conv": nn.Conv2d(4, 6, (3, 5), stride=2, padding=1, groups=2, device=device), "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(2, 2), "again": nn.Conv2d(6, 2, 3, device=device, bias=False), "flatten": nn.Flatten(),
        "drop": nn.Dropout(), "fc": nn.Linear(2 * 2 * 2, 10, device=device)})


def test_numbers_by_hand(device: str) -> None:
    net = _net(device)
    s = nn.summary(net, (3, 4, 17, 19))
    lines = {line.name: line for line in s.lines}
    assert list(lines) == ["conv", "relu", "pool", "again", "flatten", "drop", "fc"]
    assert [line.output_shape for line in s.lines] == [
        (3, 6, 9, 9), (3, 6, 9, 9), (3, 6, 4, 4), (3, 2, 2, 2), (3, 8), (3, 8), (3, 10)]
    assert [line.parameters for line in s.lines] == [6 * 2 * 15 + 6, 0, 0, 2 * 6 * 9, 0, 0, 80 + 10]
    assert [line.multiply_accumulates for line in s.lines] == [
        3 * 6 * 81 * 30, 0, 0, 3 * 2 * 4 * 54, 0, 0, 3 * 10 * 8]
    assert lines["pool"].memory == 3 * 6 * 16 * 4
    # conv sees 3 x 5; the pool one neighbour more, 2 pixels on: 5 x 7; then two neighbours more, each 4 pixels on: 13
    # x 15
    assert [line.receptive_field for line in s.lines] == [(3, 5), (3, 5), (5, 7), (13, 15), (17, 19), (17, 19),
                                                          (17, 19)]
    assert s.parameters == 186 + 108 + 90 and s.multiply_accumulates == sum(n.multiply_accumulates for n in s.lines)
    assert {line.device for line in s.lines} == {device}
    text = str(s)
    assert "384 parameters" in text and "3x6x9x9" in text and "13x15" in text


def test_it_leaves_the_network_as_it_was(device: str) -> None:
    net = _net(device)
    net.drop.eval()
    before = net.state_dict()
    nn.summary(net, (1, 4, 17, 19))
    assert net.training and not net.drop.training and net.drop.step == 0
    assert all(p.grad is None for p in net.parameters())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    net(tc.tensor(np.ones((1, 4, 17, 19)), device))  # nobody listens any more
    assert nn.module.observers.functions == []


def test_a_shared_layer_is_counted_once_but_works_twice(device: str) -> None:
    fc = nn.Linear(5, 5, device=device)
    s = nn.summary(nn.Sequential({"f": nn.Flatten(), "a": fc, "b": nn.ReLU(), "c": fc}), (1, 5, 1, 1))
    assert s.parameters == 30 and s.multiply_accumulates == 50


def test_only_images_can_be_summarised() -> None:
    with pytest.raises(ValueError, match=r"summary: input_shape must be \(N, C, H, W\), not \(1, 5\)"):
        nn.summary(nn.Linear(5, 5), (1, 5))


class Scaled(nn.Module):
    """Has a parameter of its own besides a layer, makes a layer as it goes, and computes a weight."""

    def __init__(self, device: str) -> None:
        self.conv = nn.Conv2d(3, 2, 3, device=device)
        self.gain = nn.Parameter(np.full((2, 2, 3, 3), 0.5, np.float32), device)

    def forward(self, x: tc.Tensor) -> tc.Tensor:
        y = nn.ReLU()(self.conv(x))
        return tc.functional.conv2d(y, self.gain * 2.0).mean(axis=(2, 3))


def test_a_module_of_ones_own(device: str) -> None:
    with tc.no_grad():  # a summary needs a graph all the same
        s = nn.summary(Scaled(device), (1, 3, 9, 9))
    assert s.parameters == 2 * 27 + 2 + 36
    assert [(line.name, line.kind) for line in s.lines] == [("conv", "Conv2d"), ("", "ReLU"), ("", "Scaled")]
    assert [line.receptive_field for line in s.lines] == [(3, 3), (3, 3), (9, 9)]
