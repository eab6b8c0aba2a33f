"""Compiles the CPU kernels of AlexNet's training step ahead of time: ``make`` runs ``python -m tinyconv.warm`` once.

A tiny step of each variant is trained, and its images are looked at without gradients.  The shapes are not those of
earnest use, but the types are, and types are what Numba compiles for.
"""

from __future__ import annotations

import time

import numpy as np

from . import functional as F
from . import models, no_grad, optim
from .tensor import tensor

# The smallest images but a few whose last pooling still has a window
PIXELS = {"paper": 68, "caffe": 67, "torchvision": 63}


def main() -> None:
    """Compile, or load what is on disk already; say so."""
    begin = time.perf_counter()
    print("compiling the kernels that AlexNet uses: a minute or two, once ...", end=" ", flush=True)
    for variant in PIXELS:
        train_one_step(variant)
    print(f"done in {time.perf_counter() - begin:.0f} s")


def train_one_step(variant: str) -> None:
    """A step of ``variant`` on two tiny images, and their scores."""
    model = models.alexnet(variant, num_classes=10, input_size=PIXELS[variant])
    images = np.zeros((2, 3, PIXELS[variant], PIXELS[variant]), np.float32)
    F.cross_entropy(model.train()(tensor(images)), np.zeros(2, np.int64)).backward()
    optim.SGD(model.parameters(), lr=1e-5).step()
    with no_grad():
        model.eval()(tensor(images))


if __name__ == "__main__":
    main()
