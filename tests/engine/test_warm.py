"""Compiling ahead of time reaches every kernel that a training step launches."""

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import warm
from tinyconv.device import Device
from tinyconv.models.alexnet import VARIANTS


@pytest.mark.parametrize("variant", warm.PIXELS)
def test_the_tiny_step_launches_what_the_real_one_does(variant, monkeypatch):
    launched = set()
    launch = Device.launch

    def note(device, kernel, *arrays, **options):
        types = tuple(str(a.dtype) for a in arrays if a is not None)
        launched.add((kernel, types))
        launch(device, kernel, *arrays, **options)

    monkeypatch.setattr(Device, "launch", note)
    warm.train_one_step(variant)
    tiny = set(launched)
    launched.clear()
    size = VARIANTS[variant]
    model = tc.models.alexnet(variant).train()
    F.cross_entropy(model(tc.tensor(np.zeros((1, 3, size, size), np.float32))), np.zeros(1, np.int64)).backward()
    tc.optim.SGD(model.parameters(), lr=1e-5).step()
    assert launched <= tiny
