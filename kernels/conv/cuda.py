"""Convolution on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses one.

The fast rungs read weights in another order, and tables of offsets, which ``pack.cu`` puts into scratch memory first.
"""

import math

import numpy as np

from ..gpu import Source, blocks, ladder
from ..gpu.product import DEPTH, SQUARES, Cut, add_up, padded

_FORWARD = {rung: Source(__file__, f"{rung}.cu") for rung in ladder.RUNGS["conv.forward"]}
_NAIVE = _FORWARD["naive"]
_PACK = Source(__file__, "pack.cu")
_INPUT = Source(__file__, "backward_input.cu")
_WEIGHT = Source(__file__, "backward_weight.cu")
_BIAS = Source(__file__, "bias.cu")
_THREADS = 256


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None, scratch):
    rung = _rung("conv.forward", x, weight, y, stride, groups)
    shape = _shape(x, weight, y, stride, padding, groups)
    if rung == "naive":
        _one_per_thread(_NAIVE, "forward", y.size, x, weight, bias, y, relu, *shape, real=x.dtype)
    elif rung in SQUARES:
        side, count = SQUARES[rung]
        grid = blocks(_pixels(y), side), blocks(len(weight) // groups, side), groups
        _FORWARD[rung].launch("forward", grid, count, x, weight, bias, y, relu, *shape)
    else:
        cut = _forward_cut(weight, y, groups)
        packed, table, parts = scratch(*_forward_plan(weight, y, groups))
        depth, pitch = packed.shape[1:]
        squares = blocks(depth, 32) * (pitch // 32), groups
        _PACK.launch("pack_forward", squares, _THREADS, weight, packed, table, depth, pitch, *shape)
        whole = not len(parts)
        _product(_FORWARD[rung], "forward", cut, groups, x, packed, table, bias if whole else None,
                 y if whole else parts, relu and whole, depth, pitch, cut.per_part // DEPTH, *shape)
        if not whole:
            add_up(parts, y, bias, relu)


def _forward_cut(weight, y, groups):
    return Cut(rows=len(weight) // groups, columns=_pixels(y), depth=_taps(weight), products=groups)


def _forward_plan(weight, y, groups):
    """The (shape, dtype) of the packed weights, of the table of taps, and of the parts of the sums."""
    cut = _forward_cut(weight, y, groups)
    depth, pitch = padded(cut.depth, DEPTH), padded(cut.rows, cut.tile[0])
    return ((groups, depth, pitch), weight.dtype), ((depth, 2), np.int32), cut.plan(y)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    shape = _shape(gx, weight, gy, stride, padding, groups)
    if _rung("conv.backward_input", gx, weight, gy, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_input", gx.size, gy, weight, gx, y, *shape, real=gx.dtype)
        return
    cut = _input_cut(weight, gx, stride, groups)
    packed, table, parts = scratch(*_input_plan(weight, gx, stride, groups))
    depth, pitch = packed.shape[2:]
    _one_per_thread(_PACK, "pack_backward_input", packed.size, weight, packed, table, depth, pitch, *shape)
    _product(_INPUT, "backward_input", cut, cut.products, gy, packed, table, parts if len(parts) else gx, y, depth,
             pitch, cut.per_part // DEPTH, *shape, MASKED=int(y is not None))
    if len(parts):
        add_up(parts, gx)


def _input_cut(weight, gx, stride, groups):
    """A product for each phase (``phase.cuh``) and group, of the size of the largest."""
    K, per_group, R, S = weight.shape
    N, _, H, W = gx.shape
    pixels = N * -(-H // stride[0]) * -(-W // stride[1])
    taps = -(-R // stride[0]) * -(-S // stride[1])
    return Cut(rows=per_group, columns=pixels, depth=K // groups * taps, products=math.prod(stride) * groups)


def _input_plan(weight, gx, stride, groups):
    """The (shape, dtype) of the weights packed for each phase, of its tables of taps, and of the parts of the sums."""
    cut, phases = _input_cut(weight, gx, stride, groups), math.prod(stride)
    depth, pitch = padded(cut.depth, DEPTH), padded(cut.rows, cut.tile[0])
    return ((phases, groups, depth, pitch), gx.dtype), ((phases, depth, 2), np.int32), cut.plan(gx)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    N, K, P, Q = gy.shape
    shape = _shape(x, gw, gy, stride, padding, groups)
    if _rung("conv.backward_weight", x, gw, gy, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_weight", gw.size, x, gy, gw, y, *shape, real=x.dtype)
    else:
        cut = _weight_cut(gy, gw, groups)
        table, parts = scratch(*_weight_plan(gy, gw, groups))
        _one_per_thread(_PACK, "windows", P * Q, table, *shape)
        _product(_WEIGHT, "backward_weight", cut, groups, x, gy, table, parts if len(parts) else gw, y,
                 cut.per_part // DEPTH, _bytes(x), _bytes(gy), *shape, MASKED=int(y is not None))
        if len(parts):
            add_up(parts, gw)
    if gb is not None:
        _BIAS.launch("bias_gradient", K, _THREADS, gy, y, gb, N, K, P * Q, real=x.dtype)


def _weight_cut(gy, gw, groups):
    return Cut(rows=len(gw) // groups, columns=_taps(gw), depth=_pixels(gy), products=groups)


def _weight_plan(gy, gw, groups):
    """The (shape, dtype) of the table of windows, and of the parts of the sums."""
    return ((math.prod(gy.shape[2:]), 2), np.int32), _weight_cut(gy, gw, groups).plan(gw)


def _product(source, kernel, cut, layers, *arguments, **macros):
    rows, columns = cut.tile
    grid = blocks(cut.rows, rows) * blocks(cut.columns, columns), layers, cut.parts
    source.launch(kernel, grid, cut.threads, *arguments, ROWS=rows, COLUMNS=columns, **macros)


def _taps(weight):
    """Those of one filter, in all channels."""
    return math.prod(weight.shape[1:])


def _pixels(y):
    """Those of all images."""
    N, _, P, Q = y.shape
    return N * P * Q


def _bytes(images):
    """Those of one image."""
    return math.prod(images.shape[1:]) * images.itemsize


def _rung(kernel, x, weight, y, stride, groups):
    """The chosen rung, but the first one for what the others do not serve: filters of so many rows and columns that a
    mask of 31 bits does not hold them, more groups (times phases) or filters than a grid has layers, and images of more
    bytes, or weights of more elements, than an int can count."""
    serves = (sum(weight.shape[2:]) < 32 and max(groups * math.prod(stride), len(weight) // 16) < 65536
              and max(_bytes(x), _bytes(y), weight.size) < 2 ** 31)
    return ladder.chosen(kernel, x.dtype) if serves else "naive"


def _one_per_thread(source, kernel, count, *arguments, **options):
    source.launch(kernel, blocks(count, _THREADS), _THREADS, *arguments, **options)


def _shape(x, weight, y, stride, padding, groups):
    """The numbers that ``shape.cuh`` names SHAPE."""
    N, C, H, W = x.shape
    _, K, P, Q = y.shape
    return N, C, H, W, K, P, Q, *weight.shape[2:], *stride, *padding, groups
