"""The labels of one set of images, in the numbering of a network that was trained on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.dataset import ImageSplit
from ..data.selection import Selection


def known_images(split: ImageSplit, classes: Sequence[str], known: Sequence[str],
                 leave_out: bool = False) -> ImageSplit:
    """``split``, whose labels number ``classes``, with labels that number ``known``, the classes of a network.

    If the classes are the same it is returned as it is.  Otherwise they are matched by name; the network may know more
    of them, all of which it can guess.  Images of classes that it does not know are left out with ``leave_out``.

    Raises ValueError: without it, if there are such images; if there are no others; if a name that must be matched is
    there twice."""
    if list(classes) == list(known):
        return split
    number = {name: label for label, name in enumerate(known)}
    new = np.array([number.get(name, -1) for name in classes])
    present = np.unique(split.labels)
    unknown = [classes[label] for label in present if new[label] < 0]
    if len(unknown) == len(present):
        raise ValueError(f"the network knows none of the classes of the data: the data has {_some(unknown)}, "
                         f"the network {_some(list(known))}")
    if unknown and not leave_out:
        raise ValueError(f"the network does not know {len(unknown)} of the {len(present)} classes of the data: "
                         f"{_some(unknown)}; their images can be left out with --known-only")
    for name in {classes[label] for label in present if new[label] >= 0}:
        if list(classes).count(name) + list(known).count(name) > 2:
            raise ValueError(f"more than one class is called {name!r}, so that classes cannot be matched by name; "
                             "use data with the very classes of the network")
    labels = new[split.labels]
    indices = np.flatnonzero(labels >= 0)
    return Selection(split, indices, labels[indices])


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
