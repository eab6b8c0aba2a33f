"""What a stretch of training has done: sums, from which the log's means and rates come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .evaluation import Result


class Meter:
    """Sums over the batches of a stretch, an epoch or what lies between two lines of the log.

    result    loss and hits
    seconds   how long it took, with everything that happens between two batches
    waited    the part of it in which the program waited for the loader, in seconds
    """

    def __init__(self) -> None:
        self.result, self.seconds, self.waited = Result(), 0.0, 0.0

    def add(self, loss: float, scores: np.ndarray, labels: np.ndarray, seconds: float, waited: float) -> None:
        self.result.add(loss, scores, labels)
        self.seconds += seconds
        self.waited += waited

    def accuracy(self) -> dict[str, float]:
        return {"loss": self.result.loss, "top1": self.result.top1, "top5": self.result.top5}

    @property
    def wait_share(self) -> float:
        """0 to 1: 0 if every batch was ready when it was asked for.

        On devices with a queue (``cpu:0``, ``cuda:0``) the end of the last step may run while the program waits, so a
        few per cent are no loss there."""
        return self.waited / max(self.seconds, 1e-9)

    def speed(self) -> dict[str, float]:
        return {"images_per_second": round(self.result.images / max(self.seconds, 1e-9), 1),
                "data_wait": round(self.wait_share, 4)}

    def state(self, prefix: str = "") -> dict[str, float]:
        """All of it as numbers by name, for a checkpoint."""
        numbers = {**vars(self.result), "seconds": self.seconds, "waited": self.waited}
        return {prefix + name: value for name, value in numbers.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], prefix: str = "", required: bool = False) -> Meter:
        """What :meth:`state` gave.  What is missing is 0 (older checkpoints have less), unless it is ``required``:
        then KeyError."""
        meter = cls()
        for name in vars(meter.result):
            value = state[prefix + name] if required else state.get(prefix + name, 0)
            setattr(meter.result, name, value)
        meter.seconds = float(state[prefix + "seconds"] if required else state.get(prefix + "seconds", 0.0))
        meter.waited = float(state.get(prefix + "waited", 0.0))
        return meter
