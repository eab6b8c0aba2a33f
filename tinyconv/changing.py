"""Changes of a tensor in place: the version tells those who keep something of the old data that it is old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def changes(tensor: Any) -> Iterator[None]:
    """The block may change the data of ``tensor`` in place.

    That counts as a change even if it fails: Ctrl-C may come when the data is new, and what was made of the old data
    (packed weights, a graph) must not be taken for its own."""
    try:
        yield
    finally:
        tensor.version[0] += 1
