"""The host's half of ``product.cuh``: how a product is cut into the tiles of its blocks, and the sums into parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import Source, blocks

DEPTH = 16  # steps of depth of a tile
SQUARES = {"tiled": (16, 256), "register": (64, 64)}  # rungs 2 and 3: the side of a block's tile, and its threads
_PARTS = Source(__file__, "parts.cu")
_BLOCKS = 128  # a large GPU has places for about so many of 256 threads, or more of fewer
_THREADS = 256
_PART = 512  # steps of depth, at least: so writing and adding up the parts stays small beside making them


@dataclass(frozen=True)
class Cut:
    """How so many products of ``rows`` by ``columns`` sums, ``depth`` long, are cut: all that depends on shapes only,
    and so do the bits of the result."""

    rows: int
    columns: int
    depth: int
    products: int = 1

    @property
    def tile(self) -> tuple[int, int]:
        """The (ROWS, COLUMNS) of a block.

        A large tile loads less per FMA.  A small one gives more blocks, which counts while there are too few, and less
        is wasted where the product ends."""
        if self._tiles(128, 128) * blocks(self.depth, _PART) < _BLOCKS:
            return 64, 64
        return (64 if 0 < self.rows % 128 <= 64 else 128), 128

    @property
    def threads(self) -> int:
        """Those of a block: 8 x 8 sums each."""
        return self.tile[0] * self.tile[1] // 64

    @property
    def per_part(self) -> int:
        """Steps of depth that a block sums: a multiple of DEPTH."""
        wanted = blocks(2 * _BLOCKS * _THREADS, self._tiles(*self.tile) * self.threads)
        return max(_PART, padded(blocks(self.depth, wanted), DEPTH))

    @property
    def parts(self) -> int:
        return blocks(self.depth, self.per_part)

    def plan(self, result: Any) -> tuple[tuple[int, ...], Any]:
        """The (shape, dtype) of the parts, if there is more than one."""
        return (self.parts if self.parts > 1 else 0, *result.shape), result.dtype

    def _tiles(self, rows: int, columns: int) -> int:
        return blocks(self.rows, rows) * blocks(self.columns, columns) * self.products


def add_up(parts: Any, result: Any, bias: Any = None, relu: bool = False) -> None:
    """``result``, (N, K, ...) if there is a bias, is the sum of ``parts`` plus the bias, and through a ReLU."""
    K = result.shape[1]
    pixels = result.size // (len(result) * K)
    _PARTS.launch("sum_parts", blocks(result.size, _THREADS), _THREADS, parts, result, len(parts),
                  np.int64(result.size), bias, K, pixels, relu)


def padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
