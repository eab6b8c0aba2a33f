"""Watching the loss for what usually goes wrong."""

from __future__ import annotations

import math

CAUSES = ("Usual causes: the learning rate is too high or too low (try a tenth, or ten times as much); initial weights "
          "too small for this depth and image size (try --init he); the pixels are not centred on 0; labels do not "
          "belong to their images.")


class LossWatch:
    """Tells whether the loss starts where it should, and whether it moves.

    A network that knows nothing gives each of C classes the probability 1/C, so its cross-entropy is ln(C).  The
    watch keeps a running mean over about 50 batches and complains once, if after ``patience`` batches that has not
    fallen below 98 % of ln(C)."""

    def __init__(self, classes: int, patience: int = 300) -> None:
        self.expected = math.log(classes)
        self.patience = patience
        self.batches = 0
        self.mean = 0.0

    def see(self, loss: float) -> str | None:
        """Take the loss of a batch; return what there is to say about it, if anything."""
        self.batches += 1
        self.mean = loss if self.batches == 1 else self.mean + (loss - self.mean) / min(self.batches, 50)
        if self.batches == 1:
            return self._first(loss)
        if self.batches == self.patience and self.mean > 0.98 * self.expected:
            return (f"After {self.batches} batches the loss is still {self.mean:.3f}; chance is {self.expected:.3f}.  "
                    + CAUSES)
        return None

    def _first(self, loss: float) -> str:
        start = f"First loss {loss:.3f}; ln({round(math.exp(self.expected))} classes) = {self.expected:.3f}: "
        if abs(loss - self.expected) <= 0.25 * max(self.expected, 0.5):
            return start + "as it should be."
        return start + "far from it, so the initial weights are too large or the pixels badly scaled."
