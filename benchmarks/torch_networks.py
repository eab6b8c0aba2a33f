"""PyTorch's twins of the three AlexNets and of VGG-16's convolutions, with the weights of a tinyconv network.

The ``paper`` variant's two towers are written as one column with groups, as a user of PyTorch would: the numbers are
the same, because groups see what towers see, and its LRN gets the towers as separate images.

Imported only where PyTorch is installed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from .convolutions import VGG16
from .step import STACK

State = Mapping[str, np.ndarray]


class TowerLRN(nn.LocalResponseNorm):
    """LRN whose windows end at the border between two towers: (N, 2C, H, W) is normalised as (2N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return super().forward(x.reshape(2 * n, c // 2, h, w)).reshape(n, c, h, w)  # views, unless channels_last


def build(variant: str, state: State, size: int) -> nn.Module:
    """The network ``variant`` for images of ``size`` pixels with the weights ``state`` of tinyconv's."""
    if variant == STACK:
        return _loaded(_vgg16(), state)
    if variant == "paper":
        state = merge_towers(state)
    classes, _ = state[max(name for name in state if name.startswith("classifier") and name.endswith("weight"))].shape
    network = _torchvision(classes) if variant == "torchvision" else _krizhevsky(variant, classes, size)
    return _loaded(network, state)


def _loaded(network: nn.Module, state: State) -> nn.Module:
    network.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return network


def merge_towers(state: State) -> dict[str, np.ndarray]:
    """The weights of the two towers as those of one column with groups, under the names of the ``caffe`` variant."""
    merged = {}
    for name in state:
        if name.startswith("towers.0."):
            layer, kind = name.split(".")[-2:]
            layer = name.split(".")[2] if layer == "linear" else layer  # towers.0.fc6.linear.weight
            part = "features" if layer.startswith("conv") else "classifier"
            merged[f"{part}.{layer}.{kind}"] = np.concatenate([state[name], state["towers.1." + name[9:]]])
        elif name.startswith("output."):
            merged[f"classifier.fc8.{name[7:]}"] = state[name]
    return merged


def _krizhevsky(variant: str, classes: int, size: int) -> nn.Module:
    """bvlc_alexnet, or the paper's: image padded at the right and bottom, LRN within towers, alpha not divided."""
    paper = variant == "paper"

    def norm() -> nn.Module:
        return TowerLRN(5, 5e-4, 0.75, 2.0) if paper else nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    missing = (11 - size) % 4 if paper else 0  # pixels until the last window is full
    layers: dict[str, nn.Module] = {
        "pad": nn.ZeroPad2d((0, missing, 0, missing)),
        "conv1": nn.Conv2d(3, 96, 11, stride=4), "relu1": nn.ReLU(), "norm1": norm(), "pool1": pool(),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2), "relu2": nn.ReLU(), "norm2": norm(), "pool2": pool(),
        "conv3": nn.Conv2d(256, 384, 3, padding=1), "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2), "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2), "relu5": nn.ReLU(), "pool5": pool()}
    if not missing:
        del layers["pad"]
    features = _named(layers)
    with torch.no_grad():
        inputs = features(torch.zeros(1, 3, size, size)).numel()
    classifier = _named({
        "fc6": nn.Linear(inputs, 4096), "relu6": nn.ReLU(), "drop6": nn.Dropout(),
        "fc7": nn.Linear(4096, 4096), "relu7": nn.ReLU(), "drop7": nn.Dropout(), "fc8": nn.Linear(4096, classes)})
    return _named({"features": features, "flatten": nn.Flatten(), "classifier": classifier})


def _torchvision(classes: int) -> nn.Module:
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2))
    classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes))
    return _named({"features": features, "avgpool": nn.AdaptiveAvgPool2d(6), "flatten": nn.Flatten(),
                   "classifier": classifier})


def _vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for filters in VGG16:
        if isinstance(filters, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
    return nn.Sequential(*layers, nn.Flatten())


def _named(modules: dict[str, nn.Module]) -> nn.Sequential:
    network = nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    return network
