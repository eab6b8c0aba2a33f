"""Convolution on all cores: see the README for the mathematics, and ``TILE.md`` for the loop that does the work."""

from ..bias import sum_pixels
from ..layout import channels_last
from ..scratch import nbytes
from . import direct, gradient


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, scratch):
    direct.forward(x, weight, bias, y, stride, padding, groups, relu, scratch)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    direct.backward_input(gy, weight, gx, y, stride, padding, groups, scratch)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    gradient.backward_weight(x, gy, gw, y, stride, padding, groups, scratch)
    if gb is not None:
        sum_pixels(channels_last(gy), None if y is None else channels_last(y), gb)


def forward_workspace(x, weight, bias, y, *, stride, padding, groups, relu=False):
    return nbytes(*direct.forward_plan(x, weight, y, stride, padding, groups))


def backward_input_workspace(gy, weight, gx, y=None, *, stride, padding, groups):
    return nbytes(*direct.backward_plan(gy, weight, gx, y, stride, padding, groups))


def backward_weight_workspace(x, gy, gw, gb, y=None, *, stride, padding, groups):
    return nbytes(*gradient.plan(x, gy, gw, stride, padding, groups))
