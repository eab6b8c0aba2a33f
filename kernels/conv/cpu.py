"""Convolution on all cores: see README.md for the mathematics, and ``kernels/TILE.md`` for the loop that does the work.

Each pass has two ways, direct (``direct.py``, ``gradient.py``) and Winograd's (``winograd.py``), and all but the weight
gradient a third, between the two (``pairs.py``); ``choice.py`` chooses.
"""

from ..bias import sum_pixels
from ..layout import channels_last
from . import choice, direct, gradient, pairs, winograd

_WAYS = {choice.DIRECT: direct, choice.PAIRS: pairs, choice.WINOGRAD: winograd}


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None, scratch):
    which = choice.FORWARD if kept is None else choice.INFERENCE
    way = _WAYS[choice.algorithm(which, x, weight, y, stride, groups)]
    way.convolve(channels_last(x), None, weight, bias, channels_last(y), stride, padding, groups, int(relu), False,
                 kept, scratch)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    way = _WAYS[choice.algorithm(choice.INPUT, gx, weight, gy, stride, groups)]
    way.convolve(channels_last(gy), None if y is None else channels_last(y), weight, None, channels_last(gx), stride,
                 padding, groups, 0, True, None, scratch)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    xs, gys, ys = channels_last(x), channels_last(gy), None if y is None else channels_last(y)
    way = winograd if choice.algorithm(choice.WEIGHT, x, gw, gy, stride, groups) == choice.WINOGRAD else gradient
    way.backward_weight(xs, gys, gw, ys, stride, padding, groups, scratch)
    if gb is not None:
        sum_pixels(gys, ys, gb)
