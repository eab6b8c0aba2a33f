"""Which of three ways: by a table that was measured once, so that a run never depends on a stopwatch.

The table says where Winograd's tiles pay: ``python -m benchmarks.choose`` measures them against the other two on the
machine at hand, and writes ``table.py`` anew.  Elsewhere, pairs of lines take what has few channels.
``TINYCONV_CONV`` overrules it: ``direct``; ``winograd``, wherever that is possible (3x3 and 5x5 filters of stride 1);
``pairs``, likewise (3x3, stride 1, one group, whole vectors of channels in the result, no weight gradient).
"""

import os

from .. import isa
from ..shapes import planned
from . import pairs
from .table import WINOGRAD as TABLE
from .tiling import products, tiles_of

WORDS = DIRECT, PAIRS, WINOGRAD = "direct", "pairs", "winograd"
FORWARD, INPUT, WEIGHT = "forward", "input gradient", "weight gradient"
INFERENCE = "inference"  # the forward pass with weights that are transformed once and kept
PASSES = FORWARD, INFERENCE, INPUT, WEIGHT
SIZE = 16  # of the images that the table was measured on
# Channels at most for which pairs of lines are quicker than the direct way: to make their weights is part of the pass.
FEW = {FORWARD: 32, INFERENCE: 256, INPUT: 32}


def algorithm(which, x, weight, y, stride, groups):
    """The one of WORDS that a pass of this convolution of x (N, C, H, W) to y (N, K, P, Q) takes.

    Raises ValueError if ``TINYCONV_CONV`` holds another word."""
    (K, C, R, S), word = weight.shape, forced()
    if stride != (1, 1) or R != S or R not in (3, 5) or word == DIRECT:
        return DIRECT
    source, result = (y, x) if which == INPUT else (x, y)
    in_pairs = pairable(which, R, groups, result.shape[1], weight.itemsize)
    if word:
        return word if word == WINOGRAD or in_pairs else DIRECT
    (P, Q), limits = result.shape[2:], TABLE.get((isa.chosen().name, which, R, min(groups, 2)), ())
    if _pays(limits, R, len(x), P, Q, C, K // groups):
        return WINOGRAD
    return PAIRS if in_pairs and source.shape[1] <= FEW[which] else DIRECT


def pairable(which, taps, groups, channels, itemsize):
    """Whether pairs of lines can do a pass of stride 1, whose result has so many channels."""
    return which in FEW and taps == pairs.TAPS and groups == 1 and channels % isa.chosen().lanes(itemsize) == 0


@planned
def _pays(limits, taps, images, P, Q, channels, filters):
    """Whether Winograd does, for so many images of (P, Q) pixels.  limits: ((channels, pixels), ...) from which on."""
    # The table has as many filters as channels, and images of SIZE x SIZE.  A tile's transforms take C + K steps for
    # C*K products: other layers are like one with n of both for which that ratio, 2/n, is the same.  And where tiles
    # reach past the edge and so take more places for a pixel, so much less is gained.
    ideal, here = (products(tiles_of(size, taps)) / (size[0] * size[1]) for size in ((SIZE, SIZE), (P, Q)))
    n = ideal / here * 2 * channels * filters / (channels + filters)
    return any(n >= least and images * P * Q >= fewest for least, fewest in limits)


def forced():
    """The algorithm that ``TINYCONV_CONV`` names, or None."""
    word = os.environ.get("TINYCONV_CONV") or None
    if word not in (None, *WORDS):
        raise ValueError(f"TINYCONV_CONV is {word!r}; use one of {', '.join(WORDS)}, or unset it")
    return word
