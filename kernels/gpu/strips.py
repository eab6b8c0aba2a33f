"""How the kernels of ``strip.cuh`` cut their result: how much a block makes, and from how much of the source."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

import numpy as np

THREADS = 256
_WORK = 2 * THREADS  # results in a block of small planes: so its threads have something to do
# Bytes of shared memory that leave a multiprocessor room for as many threads as it can hold, of every generation from
# sm_75 (64 KiB for 4 blocks) on; and those that a block can have.
_ROOMY, _MOST = 15 * 1024, 48 * 1024


@dataclass(frozen=True)
class Under:
    """The rows of an image under the windows of rows of outputs."""

    kernel: int
    stride: int
    pad: int

    def __call__(self, rows, outputs, image):
        begin = rows * self.stride - self.pad
        return np.maximum(begin, 0), np.minimum(begin + self.kernel, image)


@dataclass(frozen=True)
class Over:
    """The rows of outputs whose windows cover rows of an image."""

    kernel: int
    stride: int
    pad: int

    def __call__(self, rows, image, outputs):
        first = np.maximum(rows + self.pad - (self.kernel - 1), 0)
        return -(-first // self.stride), np.minimum((rows + self.pad) // self.stride + 1, outputs)


@dataclass(frozen=True)
class Part:
    """Of adaptive bins, either way."""

    def __call__(self, rows, results, sources):
        return rows * sources // results, -(-(rows + 1) * sources // results)


@dataclass(frozen=True)
class Strip:
    """``per_block``: results that a block makes; ``pixels``: of the source, that it brings to shared memory at most,
    0 if none."""

    per_block: int
    pixels: int = 0


@cache
def strip(result, source, cover, nbytes, lanes=1):
    """The strip of a result with planes of ``result`` rows and columns, which depends on planes of ``source`` by
    ``cover``, with ``nbytes`` per pixel of it; ``lanes`` threads make one of the results.

    Whole planes if they are small enough, for then nothing is read twice; else as many rows as are.  Nothing is brought
    to shared memory if the source of a single row is too large for a block, or has rows that no window wants."""
    (rows, columns), (height, width) = result, source
    if isinstance(cover, Under) and cover.stride > cover.kernel:
        return Strip(THREADS // lanes)
    if height * width * nbytes <= _ROOMY:
        planes = max(1, min(_WORK // (rows * columns * lanes), _ROOMY // (height * width * nbytes)))
        return Strip(planes * rows * columns, planes * height * width)

    def pixels(count):
        """Those under any ``count`` rows."""
        first = np.arange(rows)
        last = first + count - 1
        begin, _ = cover(first, rows, height)
        _, end = cover(last % rows, rows, height)
        return width * int(np.max(last // rows * height + end - begin))

    enough = max(1, bisect_right(range(1, rows + 1), _ROOMY // nbytes, key=pixels))
    if pixels(enough) * nbytes > _MOST:
        return Strip(THREADS // lanes)
    return Strip(enough * columns, pixels(enough))
