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

Nothing here starts a thread or waits for one: a launch on ``cpu:0`` or ``cuda:0`` returns before it has run, so by the
time that the first tower computes, the second has its work, too.  Backward likewise, for it goes through the Functions
in the reverse of the order in which they were called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..device import Device
from ..nn import Module, ModuleList, Sequential
from ..tensor import Tensor
from .exchange import exchange


class Tower(Module):
    """A column of stages on one device.  Between two stages it hears from the other towers."""

    def __init__(self, stages: Mapping[str, Sequential]) -> None:
        self.stage_names = list(stages)
        for name, stage in stages.items():
            setattr(self, name, stage)

    @property
    def device(self) -> Device:
        """Where its parameters are: after ``model.to()``, too.  Raises ValueError if it has none."""
        for _, parameter in self.named_parameters():
            return parameter.device
        raise ValueError("Tower: without parameters it is on no device; put layers that have some into it")

    def stage(self, index: int) -> Sequential:
        stage: Sequential = getattr(self, self.stage_names[index])
        return stage


class Towers(Module):
    """Towers of equally many stages side by side, and an output layer, on the first one's device, that hears all.

    Raises ValueError if there is no tower, or if they have different numbers of stages."""

    def __init__(self, towers: Sequence[Tower], output: Module) -> None:
        counts = [len(tower.stage_names) for tower in towers]
        if not counts or set(counts) != {counts[0]}:
            raise ValueError(f"Towers: needs towers of equally many stages, not of {counts}")
        self.towers = ModuleList(list(towers))
        self.output = output

    @property
    def devices(self) -> list[Device]:
        """Of each tower."""
        return [tower.device for tower in self.towers]

    def forward(self, x: Tensor) -> Tensor:
        # First x to all, then the first stage: a copy waits for what was launched before it on the device of x.
        columns = self.columns([x.to(device) for device in self.devices])
        return self.output(exchange(columns, self.devices[:1])[0])

    def columns(self, heard: Sequence[Tensor], begin: int = 0, end: int | None = None) -> list[Tensor]:
        """What each tower makes of what it hears, by its stages from ``begin`` to before ``end`` (by default all)."""
        numbers, devices = range(len(self.towers[0].stage_names))[begin:end], self.devices
        for i in numbers:
            heard = exchange(heard, devices) if i > begin else heard
            heard = [tower.stage(i)(h) for tower, h in zip(self.towers, heard, strict=True)]
        return list(heard)
