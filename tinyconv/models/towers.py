"""Towers: columns of layers, each on a device of its own, that exchange channels at a few places.

          tower 0                 tower 1
      [   stage 0   ]         [   stage 0   ]        x goes to both
             |  \\               /  |
             |    --- exchange ---  |                every tower gets all channels, its own and the others'
             |  /               \\  |
      [   stage 1   ]         [   stage 1   ]
            ...                    ...
             |     ------------/
      [   output    ]                                on the device of tower 0

The same code runs on one device (named once or twice), where an exchange is just a concatenation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import functional as F
from ..device import Device
from ..nn import Module, ModuleList, Sequential
from ..tensor import Tensor


class Tower(Module):
    """A column of stages on one device.  Between two stages it hears from the other towers."""

    def __init__(self, stages: Mapping[str, Sequential]) -> None:
        self.stage_names = list(stages)
        for name, stage in stages.items():
            setattr(self, name, stage)

    @property
    def device(self) -> Device:
        """Where its parameters are: after ``model.to()``, too."""
        return self.parameters()[0].device

    def stage(self, index: int) -> Sequential:
        stage: Sequential = getattr(self, self.stage_names[index])
        return stage


class Towers(Module):
    """Towers of equally many stages side by side, and an output layer that hears all of them."""

    def __init__(self, towers: Sequence[Tower], output: Module) -> None:
        self.towers = ModuleList(list(towers))
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        columns = [tower.stage(0)(x.to(tower.device)) for tower in self.towers]
        for i in range(1, len(self.towers[0].stage_names)):
            heard = exchange(columns, [tower.device for tower in self.towers])
            columns = [tower.stage(i)(h) for tower, h in zip(self.towers, heard, strict=True)]
        return self.output(exchange(columns, [self.towers[0].device])[0])


def exchange(columns: Sequence[Tensor], devices: Sequence[Device]) -> list[Tensor]:
    """For each device, the channels of all columns, in order.  Towers on one device share one concatenation.

    Backward, a column's gradient is the sum of its slices from all devices: the copies run the other way."""
    whole = {d: F.cat([column.to(d) for column in columns], axis=1) for d in dict.fromkeys(devices)}
    return [whole[d] for d in devices]
