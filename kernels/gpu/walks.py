"""How the threads of a GPU walk along the channels: what the kernels of ``lrn`` and ``lrn_max_pool`` are told."""

from . import blocks

IN_REGISTERS = 8  # a window of so many channels
_ENOUGH = 1 << 16  # threads: with fewer, the channels of a pixel are shared out
_LEAST = 16  # channels that are worth the size - 1 others that a walk begins with
_MOST = 65535  # chunks: a grid is no taller


def chunk(C, threads):
    """Along how many channels a thread walks, if ``threads`` of them stand side by side.  It changes no number."""
    return blocks(C, min(blocks(C, _LEAST), blocks(_ENOUGH, threads), _MOST))


def constants(size, beta):
    """What the compiler is told of the norm."""
    return {"SIZE": size, "THREE_QUARTERS": int(beta == 0.75)}
