"""The four networks: AlexNet's five convolutions and three linear layers, at about a third of its width, for 56 pixels.

    two towers    conv  16+16   32+32   64+64   64+64   48+48      fc  512+512  512+512
    one tower     conv     32      48      96      80      64      fc     1024     1024

Two towers are the paper's: a layer hears its own tower only, but for conv3 and the linear layers, which hear both.  In
the one tower every layer hears all channels.  What hears twice as much costs twice as much; so the one tower has fewer
channels in conv2 to conv5, such that the multiply-accumulates forward agree within 1 % (``test_ablation.py``).  All
widths are multiples of 16, the numbers in a vector register.

conv1 is 5 x 5 with stride 2: the paper's 11 x 11 with stride 4 would leave 12 x 12 of 56 pixels.  Everything else is in
its place: LRN and overlapping pooling after conv1 and conv2, pooling after conv5, dropout after fc6 and fc7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyconv import Device, device
from tinyconv.nn import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, Module, ReLU, Sequential, init
from tinyconv.parallel import Tower, Towers

PIXELS = 56
_LAST = 3  # pixels a side after pool5: 56 -> conv1 28 -> pool1 14 -> pool2 7 -> pool5 3
_WINDOW, _BETA, _K = 5, 0.75, 2.0
# The paper's alpha = 1e-4 is meant for pixels of 0..255, which vary by about 70.  Ours are divided by that, and so
# alpha, which multiplies squares, is multiplied by 70 ** 2; else LRN would only divide by 2 ** 0.75.
_ALPHA = 1e-4 * 70 ** 2
# LRN divides by about this, where the mean square is 1, as He's weights make it.  Twice: the signal at the output would
# be a tenth, and the networks with LRN would seem bad only because they start late.
_SHRINKS = (_K + _ALPHA * _WINDOW) ** _BETA


@dataclass(frozen=True)
class Network:
    """``widths``: filters of conv1 to conv5 and neurons of fc6 and fc7, in each tower."""

    towers: int
    norm: bool
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{'two' if self.towers == 2 else 'one'}, {'LRN' if self.norm else 'no LRN'}"

    def build(self, classes: int, names: Sequence[str] = ("cpu",)) -> Module:
        """The model with He's initial weights.  ``names``: the device of each tower; one serves all."""
        if len(names) not in (1, 2):
            raise ValueError(f"a network has one or two towers, but these are {len(names)} devices: {' '.join(names)}")
        places = [device(name) for name in (*names, *names)][:self.towers]
        output = Linear(self.towers * self.widths[6], classes, device=places[0])
        model = Towers([self._tower(place) for place in places], output)
        for name, layer in model.named_modules():
            if isinstance(layer, (Conv2d, Linear)):
                init.he(layer)
                if self.norm and name.endswith(("conv2", "conv3")):
                    layer.weight.copy_(layer.weight.numpy() * np.float32(_SHRINKS))
        # No ReLU follows the last layer; small logits make the loss begin at ln(classes).
        init.normal(output, 0.1 / output.weight.shape[1] ** 0.5)
        return model

    def _tower(self, place: Device) -> Tower:
        """Between two stages a tower hears the channels of all: so these take ``heard`` times as many."""
        c1, c2, c3, c4, c5, f6, f7 = self.widths
        heard = self.towers
        lower = Sequential({
            "conv1": Conv2d(3, c1, 5, stride=2, padding=2, device=place), "relu1": ReLU(), **self._norm_and_pool(1),
            "conv2": Conv2d(c1, c2, 5, padding=2, device=place), "relu2": ReLU(), **self._norm_and_pool(2)})
        upper = Sequential({
            "conv3": Conv2d(heard * c2, c3, 3, padding=1, device=place), "relu3": ReLU(),
            "conv4": Conv2d(c3, c4, 3, padding=1, device=place), "relu4": ReLU(),
            "conv5": Conv2d(c4, c5, 3, padding=1, device=place), "relu5": ReLU(), "pool5": _pool(),
            "flatten": Flatten()})
        stages = {"lower": lower, "upper": upper}
        for name, inputs, outputs in (("fc6", c5 * _LAST ** 2, f6), ("fc7", f6, f7)):
            linear = Linear(heard * inputs, outputs, device=place)
            stages[name] = Sequential({"linear": linear, "relu": ReLU(), "dropout": Dropout()})
        return Tower(stages)

    def _norm_and_pool(self, number: int) -> dict[str, Module]:
        # The paper does not divide alpha by the window, LocalResponseNorm does.
        norm = LocalResponseNorm(_WINDOW, alpha=_WINDOW * _ALPHA, beta=_BETA, k=_K)
        return {**({f"norm{number}": norm} if self.norm else {}), f"pool{number}": _pool()}


def _pool() -> MaxPool2d:
    return MaxPool2d(3, 2, ceil_mode=True)


WIDTHS = {2: (16, 32, 64, 64, 48, 512, 512), 1: (32, 48, 96, 80, 64, 1024, 1024)}
NETWORKS = [Network(towers, norm, WIDTHS[towers]) for towers in (2, 1) for norm in (True, False)]
