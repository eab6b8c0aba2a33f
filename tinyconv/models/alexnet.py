"""AlexNet (Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural networks, 2012).

Three variants, because three networks go by the name:

``paper``        as published: two towers that meet before conv3 and before each fully connected layer; 224-pixel input,
                 with the partly empty last windows that cuda-convnet took (ceil mode), so that conv1 gives 55 x 55.
``caffe``        bvlc_alexnet: one tower with groups in conv2, conv4 and conv5; 227-pixel input; 60,965,224 parameters.
``torchvision``  "One weird trick" (Krizhevsky 2014): 64-192-384-256-256 channels, no groups, no LRN, adaptive pooling;
                 its parameters have the names and shapes of torchvision's alexnet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import Device
from ..device import device as find_device
from ..functional.checks import is_int
from ..kernels.shapes import output_size
from ..nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from ..parallel import Tower, Towers

VARIANTS = {"paper": 224, "caffe": 227, "torchvision": 224}  # and their usual input size in pixels
INITS = ("variant", "he", "xavier", "default")


def alexnet(variant: str = "paper", num_classes: int = 1000, devices: Sequence[str | Device] = ("cpu",),
            input_size: int | None = None, init: str = "variant") -> Module:
    """An AlexNet for images (N, 3, input_size, input_size); it returns logits (N, num_classes).

    Args:
        variant: "paper", "caffe" or "torchvision"; see the top of this file.
        num_classes: at least 1.
        devices: the device of each tower.  ``paper`` has two: one device executes both, one after the other.
        input_size: pixels; by default 224, 227 for ``caffe``.  It must leave a pixel for the last pooling.
        init: "variant" (what the original used), "he", "xavier" or "default" (PyTorch's uniform).

    Raises: ValueError for arguments out of range.
    """
    if variant not in VARIANTS:
        raise ValueError(f"alexnet: variant must be one of {', '.join(VARIANTS)}, not {variant!r}")
    if init not in INITS:
        raise ValueError(f"alexnet: init must be one of {', '.join(INITS)}, not {init!r}")
    size = VARIANTS[variant] if input_size is None else input_size
    for argument, value in (("num_classes", num_classes), ("input_size", size)):
        if not is_int(value) or value < 1:
            raise ValueError(f"alexnet: {argument} must be an int of at least 1, not {value!r}")
    places = [find_device(d) for d in ([devices] if isinstance(devices, (str, Device)) else devices)]
    towers = 2 if variant == "paper" else 1
    if not 1 <= len(places) <= towers:
        raise ValueError(f"alexnet: {variant!r} has {towers} tower{'s' * (towers > 1)}, "
                         f"but devices names {len(places)}")
    build = {"paper": _paper, "caffe": _caffe, "torchvision": _torchvision}[variant]
    model = build(num_classes, (places * 2)[:2], size)
    if init != "variant":
        _initialise(model, init)
    return model


def first_filters(model: Module) -> list[np.ndarray]:
    """The weights of conv1 (K, 3, 11, 11), of each tower."""
    return [module.weight.numpy() for _, module in model.named_modules()
            if isinstance(module, Conv2d) and module.weight.shape[1] == 3]


def _paper(num_classes: int, devices: Sequence[Device], size: int) -> Module:
    towers = [_paper_tower(device, size) for device in devices]
    output = Linear(4096, num_classes, device=devices[0])
    init.normal(output, std=0.01)
    return Towers(towers, output)


def _paper_tower(device: Device, size: int) -> Tower:
    """Half of the network: 48, 128, 192, 192, 128 filters, 2048 and 2048 neurons."""

    def conv(c: int, k: int, kernel: int, bias: float, **options: Any) -> Conv2d:
        return _gaussian(Conv2d(c, k, kernel, device=device, **options), 0.01, bias)

    def norm() -> LocalResponseNorm:  # the paper's formula does not divide alpha by the window: 1e-4 * 5
        return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)

    def pool() -> MaxPool2d:
        return MaxPool2d(3, 2, ceil_mode=True)

    stages = {
        "lower": Sequential({
            "conv1": conv(3, 48, 11, 0, stride=4, ceil_mode=True), "relu1": ReLU(), "norm1": norm(), "pool1": pool(),
            "conv2": conv(48, 128, 5, 1, padding=2), "relu2": ReLU(), "norm2": norm(), "pool2": pool()}),
        "upper": Sequential({
            "conv3": conv(256, 192, 3, 0, padding=1), "relu3": ReLU(),
            "conv4": conv(192, 192, 3, 1, padding=1), "relu4": ReLU(),
            "conv5": conv(192, 128, 3, 1, padding=1), "relu5": ReLU(), "pool5": pool(), "flatten": Flatten()}),
    }
    pixels = _pixels_after([*stages["lower"], *stages["upper"]], size)
    for name, inputs in (("fc6", 256 * pixels ** 2), ("fc7", 4096)):
        fc = _gaussian(Linear(inputs, 2048, device=device), 0.01, 1)
        stages[name] = Sequential({"linear": fc, "relu": ReLU(), "dropout": Dropout()})
    return Tower(stages)


def _caffe(num_classes: int, devices: Sequence[Device], size: int) -> Module:
    def conv(c: int, k: int, kernel: int, bias: float, **options: Any) -> Conv2d:
        return _gaussian(Conv2d(c, k, kernel, device=devices[0], **options), 0.01, bias)

    def linear(c: int, k: int, std: float, bias: float) -> Linear:
        return _gaussian(Linear(c, k, device=devices[0]), std, bias)

    def norm() -> LocalResponseNorm:
        return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)

    def pool() -> MaxPool2d:
        return MaxPool2d(3, 2, ceil_mode=True)

    features = Sequential({
        "conv1": conv(3, 96, 11, 0, stride=4), "relu1": ReLU(), "norm1": norm(), "pool1": pool(),
        "conv2": conv(96, 256, 5, 0.1, padding=2, groups=2), "relu2": ReLU(), "norm2": norm(), "pool2": pool(),
        "conv3": conv(256, 384, 3, 0, padding=1), "relu3": ReLU(),
        "conv4": conv(384, 384, 3, 0.1, padding=1, groups=2), "relu4": ReLU(),
        "conv5": conv(384, 256, 3, 0.1, padding=1, groups=2), "relu5": ReLU(), "pool5": pool()})
    classifier = Sequential({
        "fc6": linear(256 * _pixels_after(features, size) ** 2, 4096, 0.005, 0.1), "relu6": ReLU(), "drop6": Dropout(),
        "fc7": linear(4096, 4096, 0.005, 0.1), "relu7": ReLU(), "drop7": Dropout(),
        "fc8": linear(4096, num_classes, 0.01, 0)})
    return Sequential({"features": features, "flatten": Flatten(), "classifier": classifier})


def _torchvision(num_classes: int, devices: Sequence[Device], size: int) -> Module:
    def conv(c: int, k: int, kernel: int, **options: Any) -> Conv2d:
        return Conv2d(c, k, kernel, device=devices[0], **options)

    features = Sequential(
        conv(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, 2),
        conv(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, 2),
        conv(192, 384, 3, padding=1), ReLU(), conv(384, 256, 3, padding=1), ReLU(),
        conv(256, 256, 3, padding=1), ReLU(), MaxPool2d(3, 2))
    _pixels_after(features, size)
    classifier = Sequential(
        Dropout(), Linear(256 * 6 * 6, 4096, device=devices[0]), ReLU(),
        Dropout(), Linear(4096, 4096, device=devices[0]), ReLU(), Linear(4096, num_classes, device=devices[0]))
    return Sequential({"features": features, "avgpool": AdaptiveAvgPool2d(6), "flatten": Flatten(),
                       "classifier": classifier})


def _gaussian(layer: Any, std: float, bias: float) -> Any:
    init.normal(layer, std, bias)
    return layer


def _pixels_after(layers: Any, size: int) -> int:
    """The height (and width) of the image that these layers make of one of ``size`` pixels."""
    pixels = size
    for layer in layers:
        if isinstance(layer, (Conv2d, MaxPool2d)):
            if pixels + 2 * layer.padding[0] < layer.kernel_size[0]:
                raise ValueError(f"alexnet: an input of {size} pixels is too small for this variant; use 63 or more")
            pixels = output_size(pixels, layer.kernel_size[0], layer.stride[0], layer.padding[0], layer.ceil_mode)
    return pixels


def _initialise(model: Module, name: str) -> None:
    fill: Callable[[Any], None] = getattr(init, name)
    layers = [module for _, module in model.named_modules() if isinstance(module, (Conv2d, Linear))]
    for layer in layers:
        fill(layer)
    if name != "default":
        # No ReLU follows the last layer; small logits make the loss begin at ln(num_classes).
        init.normal(layers[-1], 0.1 / layers[-1].weight.shape[1] ** 0.5)
