"""What both sides do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SIDES = ("tinyconv", "PyTorch")
MOST_EPOCHS, MOST_SEED = 1000, 4_000_000  # see theirs.py
CROPS = {"centre": "centre", "ten": "ten crops"}  # and what tinyconv.evaluate calls them


@dataclass(frozen=True)
class Recipe:
    """SGD on cross-entropy; the learning rate falls from ``lr`` to 0 as a cosine.  Initial weights are He's; those of
    the last layer have a standard deviation of 0.1 / sqrt(inputs); biases are 0.

    resize, crop   side of the square that a photo is brought to, and of the random crop of it, in pixels; crops are
                   mirrored half the time
    color_noise    standard deviation of the paper's colour noise
    clip_norm      the largest norm of all gradients together; 0: no limit
    limit_batches  only so many batches of an epoch, and of its validation; 0: all
    """

    variant: str = "paper"
    resize: int = 76
    crop: int = 67
    epochs: int = 15
    batch: int = 64
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 5.0
    color_noise: float = 0.1
    limit_batches: int = 0


@dataclass(frozen=True)
class Run:
    side: str
    seed: int

    @property
    def label(self) -> str:
        return f"{self.side}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        return out / f"{self.side.lower()}-seed-{self.seed}"

    def settings(self, recipe: Recipe, fingerprint: str) -> dict[str, Any]:
        """With these a finished run counts; ``fingerprint`` is that of the photos."""
        return {"side": self.side, "seed": self.seed, "data": fingerprint, **asdict(recipe)}
