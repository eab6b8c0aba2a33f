"""The host's half of ``product.cuh``: how a product is cut into the tiles of its blocks."""

from .gpu import blocks

DEPTH = 16  # steps of depth of a tile
_BLOCKS = 128  # a large GPU has places for about so many


SQUARES = {"tiled": (16, 256), "register": (64, 64)}  # rungs 2 and 3: the side of a block's tile, and its threads


def tile(rows: int, columns: int) -> tuple[int, int]:
    """The (ROWS, COLUMNS) of a block's tile, for a product of so many.

    A large tile loads less per FMA.  A small one wastes less where the product ends, and gives more blocks."""
    if blocks(rows, 128) * blocks(columns, 128) < _BLOCKS:
        return 64, 64
    return (128 if rows > 64 else 64), 128


def threads(tile: tuple[int, int]) -> int:
    """Those of a block: 8 x 8 sums each."""
    return tile[0] * tile[1] // 64


def padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
