"""A whole training step, and inference, of each AlexNet and of VGG-16's convolutions: from a NumPy batch to updated
weights, or to scores.

The tinyconv side uses the public interface only; PyTorch's network is the same with the same weights, trained by
``torch.optim.SGD``.  The weights of one model after the other are all that a process need hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.models.alexnet import VARIANTS  # and their input size in pixels

from .convolutions import VGG16

# So small that the weights hardly move: labels are random, and a loss that diverges would be another workload.
SGD: dict[str, Any] = {"lr": 1e-5, "momentum": 0.9, "weight_decay": 5e-4}
STACK = "vgg16 convolutions"
NETWORKS = {**VARIANTS, STACK: 224}  # and their input size in pixels


@dataclass(frozen=True)
class Step:
    """``run`` does one training step and returns the loss before it, or inference; ``model`` is what it runs."""

    run: Callable[[], Any]
    model: Any


def batch_of(size: int, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images (batch, 3, size, size) of mean 0 and deviation 1, and labels from 0 to 999."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((batch, 3, size, size), np.float32), generator.integers(1000, size=batch)


def build(name: str, size: int) -> Any:
    """A network with the weights that every side starts from."""
    tc.manual_seed(0)
    return _stack() if name == STACK else tc.models.alexnet(name, input_size=size)


def _stack() -> Any:
    """VGG-16 without its fully connected layers: 13 convolutions, ReLU, max-pooling.  The features serve as scores."""
    layers: list[Any] = []
    channels = 3
    for filters in VGG16:
        if isinstance(filters, str):
            layers.append(tc.nn.MaxPool2d(2, 2))
        else:
            layers += [tc.nn.Conv2d(channels, filters, 3, padding=1), tc.nn.ReLU()]
            channels = filters
    return tc.nn.Sequential(*layers, tc.nn.Flatten())


def tinyconv_step(variant: str, batch: int, size: int | None = None, dropout: bool = True) -> Step:
    """A step of tinyconv's ``variant`` on ``batch`` images of ``size`` pixels (by default the variant's own)."""
    pixels = size or NETWORKS[variant]
    model = build(variant, pixels).train(dropout)
    optimizer = tc.optim.SGD(model.parameters(), **SGD)
    images, labels = batch_of(pixels, batch)

    def run() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tc.tensor(images)), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return Step(run, model)


def tinyconv_inference(variant: str, batch: int, size: int | None = None) -> Step:
    """Scores of ``batch`` images, as an array: no graph, no dropout."""
    pixels = size or NETWORKS[variant]
    model = build(variant, pixels).eval()
    images, _ = batch_of(pixels, batch)

    def run() -> np.ndarray:
        with tc.no_grad():
            return model(tc.tensor(images)).numpy()

    return Step(run, model)


def torch_step(variant: str, batch: int, size: int | None = None, dropout: bool = True,
               state: dict[str, np.ndarray] | None = None, channels_last: bool = False, fused: bool = False) -> Step:
    """The same in PyTorch.  ``state``: the weights to start from, by default those that tinyconv_step starts from."""
    import torch

    pixels = size or NETWORKS[variant]
    model, images = _torch_model(variant, batch, pixels, channels_last, state)
    model.train(dropout)
    optimizer = torch.optim.SGD(model.parameters(), **SGD, fused=fused)
    labels = batch_of(pixels, batch)[1]

    def run() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images()), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return Step(run, model)


def torch_inference(variant: str, batch: int, size: int | None = None, channels_last: bool = False) -> Step:
    import torch

    model, images = _torch_model(variant, batch, size or NETWORKS[variant], channels_last)
    model.eval()

    def run() -> np.ndarray:
        with torch.no_grad():
            return np.asarray(model(images()))

    return Step(run, model)


def _torch_model(variant: str, batch: int, pixels: int, channels_last: bool,
                 state: dict[str, np.ndarray] | None = None) -> tuple[Any, Callable[[], Any]]:
    """The network, and what turns the NumPy batch into its input: in each step, as a loader's batch would be."""
    import torch

    from . import torch_networks

    if state is None:
        state = build(variant, pixels).state_dict()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = torch_networks.build(variant, state, pixels).to(memory_format=layout)
    array = batch_of(pixels, batch)[0]
    return model, lambda: torch.from_numpy(array).contiguous(memory_format=layout)


@cache
def _multiply_accumulates(variant: str, training: bool) -> int:
    return _count(build(variant, NETWORKS[variant]), NETWORKS[variant], training)


def flops(model: Any, batch: int, size: int | None = None, training: bool = True) -> int:
    """Floating-point operations of a step: three passes of two per multiply-accumulate of convolutions and linear
    layers, except that nobody wants the gradient of the images; of inference, one pass.

    ``model`` is a network of ``size`` pixels, or the name of one of :data:`NETWORKS`."""
    macs = _multiply_accumulates(model, training) if isinstance(model, str) else _count(model, size or 0, training)
    return 2 * batch * macs


def _count(model: Any, size: int, training: bool) -> int:
    layers = dict(model.named_modules())
    total = 0
    for line in tc.nn.summary(model, (1, 3, size, size)).lines:
        if line.multiply_accumulates:
            sees_images = layers[line.name].weight.shape[1] == 3
            total += (1 if not training else 2 if sees_images else 3) * line.multiply_accumulates
    return total
