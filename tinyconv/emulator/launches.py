"""A launch: everything about it settled, put into a stream, to be run there, or to be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import arguments, orders
from .module import Access, Kernel

if TYPE_CHECKING:
    from .rawkernel import RawModule


@dataclass(frozen=True)
class Launch:
    name: str
    module: RawModule
    kernel: Kernel
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    arguments: list[arguments.Argument]
    check: bool
    order: str
    seed: int

    def run(self) -> None:
        for watcher in watchers:
            watcher(self)
        regions = arguments.regions(self.arguments)

        def launch(order: str) -> None:
            self.kernel.launch(self.grid, self.block, self._values, self.shared, regions, order, self.seed)

        orders.run(self.name, launch, regions, self.order)
        if not self.check:
            self._assume_written()

    def trace(self, of_block: tuple[int, int, int]) -> list[Access]:
        """What one block reads and writes; memory is left as it was."""
        regions = arguments.regions(self.arguments)
        with orders.restored(regions):
            return self.kernel.trace(self.grid, self.block, self._values, self.shared, regions, of_block)

    @property
    def _values(self) -> list[np.generic | np.ndarray]:
        return [argument.value for argument in self.arguments]

    def _assume_written(self) -> None:
        """In fast mode nobody sees what a kernel writes; a checked launch that comes later must not take it for
        memory that was never written."""
        for argument in self.arguments:
            if argument.block is not None and not argument.read_only:
                flags = argument.block.flags_of(argument.start, argument.nbytes)
                if flags is not None:
                    flags.fill(1)


watchers: list[Callable[[Launch], None]] = []  # called just before each launch runs


@contextmanager
def watched(watcher: Callable[[Launch], None]) -> Iterator[None]:
    """Within this context, ``watcher`` sees each launch just before it runs."""
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)
