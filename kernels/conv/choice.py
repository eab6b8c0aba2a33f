"""Direct or Winograd: read from a table that was measured once, so that a run never depends on a stopwatch.

``python -m benchmarks.choose`` measures the two on the machine at hand and writes ``table.py`` anew.
``TINYCONV_CONV=direct`` and ``=winograd`` (wherever it is possible: 3x3 and 5x5 filters of stride 1) overrule it.
"""

import os

from .. import isa
from ..shapes import planned
from .table import WINOGRAD
from .tiles import products, tiles_of

FORWARD, INPUT, WEIGHT = "forward", "input gradient", "weight gradient"
INFERENCE = "inference"  # the forward pass with weights that are transformed once and kept
PASSES = FORWARD, INFERENCE, INPUT, WEIGHT
SIZE = 16  # of the images that the table was measured on


def winograd(which, x, weight, y, stride, groups):
    """Whether a pass of this convolution of x (N, C, H, W) to y (N, K, P, Q) is to be done by Winograd.

    Raises ValueError if ``TINYCONV_CONV`` holds another word."""
    K, C, R, S = weight.shape
    if stride != (1, 1) or R != S or R not in (3, 5):
        return False
    word = forced()
    if word:
        return word == "winograd"
    limits = WINOGRAD.get((isa.chosen().name, which, R, min(groups, 2)), ())
    return _pays(limits, R, len(x), *(x if which == INPUT else y).shape[2:], C, K // groups)


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
    if word not in (None, "direct", "winograd"):
        raise ValueError(f"TINYCONV_CONV is {word!r}; use direct or winograd, or unset it")
    return word
