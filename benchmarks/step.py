"""A whole training step of each AlexNet: from a NumPy batch, by way of loss and gradients, to updated weights.

The tinyconv side uses the public interface only; PyTorch's network is the same with the same weights, trained by
``torch.optim.SGD`` as installed.  The weights of one model after the other are all that a process need hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.models.alexnet import VARIANTS  # and their input size in pixels

# So small that the weights hardly move: labels are random, and a loss that diverges would be another workload.
SGD: dict[str, Any] = {"lr": 1e-5, "momentum": 0.9, "weight_decay": 5e-4}


@dataclass(frozen=True)
class Step:
    """``run`` does one training step and returns the loss before it; ``model`` is what it trains."""

    run: Callable[[], float]
    model: Any


def batch_of(size: int, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images (batch, 3, size, size) of mean 0 and deviation 1, and labels from 0 to 999."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((batch, 3, size, size), np.float32), generator.integers(1000, size=batch)


def tinyconv_step(variant: str, batch: int, size: int | None = None, dropout: bool = True) -> Step:
    """A step of tinyconv's ``variant`` on ``batch`` images of ``size`` pixels (by default the variant's own)."""
    tc.manual_seed(0)
    pixels = size or VARIANTS[variant]
    model = tc.models.alexnet(variant, input_size=pixels).train(dropout)
    optimizer = tc.optim.SGD(model.parameters(), **SGD)
    images, labels = batch_of(pixels, batch)

    def run() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tc.tensor(images)), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return Step(run, model)


def torch_step(variant: str, batch: int, size: int | None = None, dropout: bool = True,
               state: dict[str, np.ndarray] | None = None) -> Step:
    """The same in PyTorch.  ``state``: the weights to start from, by default those that tinyconv_step starts from."""
    import torch

    from . import torch_networks

    pixels = size or VARIANTS[variant]
    if state is None:
        tc.manual_seed(0)
        state = tc.models.alexnet(variant, input_size=pixels).state_dict()
    model = torch_networks.build(variant, state, pixels).train(dropout)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    images, labels = batch_of(pixels, batch)

    def run() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return Step(run, model)


def flops(model: Any, batch: int, size: int) -> int:
    """Floating-point operations of a step: three passes of two per multiply-accumulate of convolutions and linear
    layers, except that nobody wants the gradient of the images."""
    layers = dict(model.named_modules())
    total = 0
    for line in tc.nn.summary(model, (1, 3, size, size)).lines:
        if line.multiply_accumulates:
            sees_images = layers[line.name].weight.shape[1] == 3
            total += (2 if sees_images else 3) * 2 * line.multiply_accumulates
    return batch * total
