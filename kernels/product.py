"""The host's half of ``product.cuh``: how a product is cut into the tiles of its blocks."""

from .gpu import blocks

DEPTH = 16  # steps of depth of a tile
SQUARES = {"tiled": (16, 256), "register": (64, 64)}  # rungs 2 and 3: the side of a block's tile, and its threads
_BLOCKS = 128  # a large GPU has places for about so many


def tile(rows: int, columns: int, products: int = 1) -> tuple[int, int]:
    """The (ROWS, COLUMNS) of a block's tile, for so many products of so many rows and columns.

    A large tile loads less per FMA.  A small one gives more blocks, which counts while there are too few, and less is
    wasted where the product ends."""
    if blocks(rows, 128) * blocks(columns, 128) * products < _BLOCKS:
        return 64, 64
    return (64 if 0 < rows % 128 <= 64 else 128), 128


def threads(tile: tuple[int, int]) -> int:
    """Those of a block: 8 x 8 sums each."""
    return tile[0] * tile[1] // 64


def padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
