"""Convolution on all cores: see README.md for the mathematics, and ``kernels/TILE.md`` for the loop that does the work.

Each pass has two ways, direct (``direct.py``, ``gradient.py``) and Winograd's (``winograd.py``), and all but the weight
gradient a third, between the two (``pairs.py``); ``choice.py`` chooses.
"""

from ..bias import sum_pixels
from ..layout import channels_last
from . import choice, direct, gradient, pairs
from . import winograd as wino


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None, scratch):
    way = choice.algorithm(_forward(kept), x, weight, y, stride, groups)
    if way == choice.WINOGRAD:
        wino.forward(x, weight, bias, y, padding, groups, relu, kept, scratch)
    elif way == choice.PAIRS:
        pairs.forward(x, weight, bias, y, padding, relu, kept, scratch)
    else:
        direct.forward(x, weight, bias, y, stride, padding, groups, relu, kept, scratch)


def _forward(kept):
    return choice.FORWARD if kept is None else choice.INFERENCE


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    way = choice.algorithm(choice.INPUT, gx, weight, gy, stride, groups)
    if way == choice.WINOGRAD:
        wino.backward_input(gy, weight, gx, y, padding, groups, scratch)
    elif way == choice.PAIRS:
        pairs.backward_input(gy, weight, gx, y, padding, scratch)
    else:
        direct.backward_input(gy, weight, gx, y, stride, padding, groups, scratch)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    if choice.algorithm(choice.WEIGHT, x, gw, gy, stride, groups) == choice.WINOGRAD:
        wino.backward_weight(x, gy, gw, y, padding, groups, scratch)
    else:
        gradient.backward_weight(x, gy, gw, y, stride, padding, groups, scratch)
    if gb is not None:
        sum_pixels(channels_last(gy), None if y is None else channels_last(y), gb)
