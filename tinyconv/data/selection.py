"""Some images of a split, under other labels perhaps."""

from __future__ import annotations

import numpy as np

from .dataset import ImageSplit


class Selection:
    """The images ``indices`` of ``split``, in that order, as a split of its own.

    labels: (len(indices),) their labels here; by default those they have in ``split``.
    Raises ValueError if there are not as many labels as indices, IndexError for an index out of range."""

    def __init__(self, split: ImageSplit, indices: np.ndarray, labels: np.ndarray | None = None) -> None:
        self._split = split
        self._indices = np.asarray(indices, np.int64)
        self.labels: np.ndarray = np.array(split.labels[self._indices] if labels is None else labels, np.int64)
        if self.labels.shape != self._indices.shape:
            raise ValueError(f"a selection of {len(self._indices)} images has {len(self.labels)} labels")
        self.labels.flags.writeable = False  # shared by all who ask

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, which the caller must not change."""
        return self._split.image(self._original(index))

    def encoded(self, index: int) -> bytes | None:
        """The bytes of the image's file; None where the split holds pixels."""
        encoded = getattr(self._split, "encoded", None)  # synthetic images are never in a file
        return encoded(self._original(index)) if encoded else None

    def name(self, index: int) -> str:
        """What to call the image in an error message."""
        return self._split.name(self._original(index))

    def _original(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"the selection has images 0..{len(self) - 1}; {index} is not one of them")
        return int(self._indices[index])
