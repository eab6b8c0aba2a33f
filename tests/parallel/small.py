"""A two-tower network as the paper's, small enough to be trained with every check on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.nn import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU, Sequential
from tinyconv.parallel import Tower, Towers

CLASSES, PIXELS, BATCH = 4, 16, 4  # ragged on purpose


def towers(devices: Sequence[str]) -> Towers:
    def tower(device: str) -> Tower:
        return Tower({
            "lower": Sequential(Conv2d(3, 6, 5, stride=2, ceil_mode=True, device=device), ReLU(), LocalResponseNorm(3),
                                MaxPool2d(3, 2, ceil_mode=True)),
            "upper": Sequential(Conv2d(12, 7, 3, padding=1, device=device), ReLU(), Flatten()),
            "fc": Sequential(Linear(2 * 7 * 9, 11, device=device), ReLU(), Dropout())})

    return Towers([tower(device) for device in devices], Linear(22, CLASSES, device=devices[0]))


def train(model: Any, device: str, steps: int = 20, pixels: int = PIXELS, classes: int = CLASSES,
          batch: int = BATCH, lr: float = 0.02) -> tuple[list[float], dict[str, np.ndarray]]:
    """The losses, and the parameters at the end.  Dropout is on: its masks depend on the seed alone."""
    random = np.random.default_rng(5)
    optimizer = tc.optim.SGD(model.train().parameters(), lr)
    losses = []
    for _ in range(steps):
        x = tc.tensor(random.standard_normal((batch, 3, pixels, pixels)), device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), random.integers(classes, size=batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    return losses, model.state_dict()


def train_towers(devices: Sequence[str]) -> tuple[list[float], dict[str, np.ndarray]]:
    tc.manual_seed(2)
    return train(towers(devices), devices[0])


def train_paper(devices: Sequence[str], steps: int = 20) -> tuple[list[float], dict[str, np.ndarray]]:
    tc.manual_seed(2)
    model = tc.models.alexnet("paper", num_classes=3, devices=devices, input_size=63, init="he")
    return train(model, devices[0], steps, pixels=63, classes=3, batch=3, lr=0.0005)
