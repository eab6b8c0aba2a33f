"""Convolution on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses one.

The fast rungs read weights in another order, and tables of offsets, which ``pack.cu`` puts into scratch memory first.
"""

import math

import numpy as np

from .. import ladder
from ..gpu import Source, blocks
from ..product import DEPTH, SQUARES, padded, threads, tile
from ..scratch import deal, nbytes

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
        rows, columns = _forward_tile(weight, y, groups)
        packed, table = deal(scratch, *_forward_plan(weight, y, groups))
        depth, pitch = packed.shape[1:]
        _one_per_thread(_PACK, "pack_forward", packed.size, weight, packed, table, depth, pitch, *shape)
        grid = blocks(_pixels(y), columns) * (pitch // rows), groups
        _FORWARD[rung].launch("forward", grid, threads((rows, columns)), x, packed, table, bias, y, relu, depth, pitch,
                              *shape, ROWS=rows, COLUMNS=columns)


def forward_workspace(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None):
    packs = _rung("conv.forward", x, weight, y, stride, groups) in ("vectorised", "tf32")
    return nbytes(*_forward_plan(weight, y, groups)) if packs else 0


def _forward_tile(weight, y, groups):
    return tile(len(weight) // groups, _pixels(y), groups)


def _forward_plan(weight, y, groups):
    """The (shape, dtype) of the packed weights and of the table of taps."""
    rows, _ = _forward_tile(weight, y, groups)
    depth, pitch = padded(weight.size // len(weight), DEPTH), padded(len(weight) // groups, rows)
    return ((groups, depth, pitch), weight.dtype), ((depth, 2), np.int32)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    shape = _shape(gx, weight, gy, stride, padding, groups)
    if _rung("conv.backward_input", gx, weight, gy, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_input", gx.size, gy, weight, gx, y, *shape, real=gx.dtype)
        return
    rows, columns = _input_tile(weight, gx, stride, groups)
    packed, table = deal(scratch, *_input_plan(weight, gx, stride, groups))
    phases, _, depth, pitch = packed.shape
    _one_per_thread(_PACK, "pack_backward_input", packed.size, weight, packed, table, depth, pitch, *shape)
    grid = blocks(_pixels_of_a_phase(gx, stride), columns) * (pitch // rows), phases * groups
    _INPUT.launch("backward_input", grid, threads((rows, columns)), gy, packed, table, gx, y, depth, pitch, *shape,
                  ROWS=rows, COLUMNS=columns, MASKED=int(y is not None))


def backward_input_workspace(gy, weight, gx, y=None, *, stride, padding, groups):
    if _rung("conv.backward_input", gx, weight, gy, stride, groups) == "naive":
        return 0
    return nbytes(*_input_plan(weight, gx, stride, groups))


def _input_tile(weight, gx, stride, groups):
    return tile(weight.shape[1], _pixels_of_a_phase(gx, stride), groups * math.prod(stride))


def _input_plan(weight, gx, stride, groups):
    """The (shape, dtype) of the weights packed for each phase (``phase.cuh``), and of its tables of taps."""
    K, per_group, R, S = weight.shape
    rows, _ = _input_tile(weight, gx, stride, groups)
    depth = padded(K // groups * -(-R // stride[0]) * -(-S // stride[1]), DEPTH)
    phases = math.prod(stride)
    return ((phases, groups, depth, padded(per_group, rows)), gx.dtype), ((phases, depth, 2), np.int32)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    N, K, P, Q = gy.shape
    shape = _shape(x, gw, gy, stride, padding, groups)
    if _rung("conv.backward_weight", x, gw, gy, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_weight", gw.size, x, gy, gw, y, *shape, real=x.dtype)
    else:
        rows, columns = _weight_tile(gy, gw, groups)
        table, parts = deal(scratch, *_weight_plan(gy, gw, groups))
        macros = {"ROWS": rows, "COLUMNS": columns, "MASKED": int(y is not None)}
        grid = blocks(K // groups, rows) * blocks(gw.size // len(gw), columns), groups, max(1, len(parts))
        _one_per_thread(_PACK, "windows", P * Q, table, *shape)
        _WEIGHT.launch("backward_weight", grid, threads((rows, columns)), x, gy, table, parts if len(parts) else gw, y,
                       _per_part(gy, gw, groups), *shape, **macros)
        if len(parts):
            _one_per_thread(_WEIGHT, "sum_parts", gw.size, parts, gw, len(parts), np.int64(gw.size), **macros)
    if gb is not None:
        _BIAS.launch("bias_gradient", K, _THREADS, gy, y, gb, N, K, P * Q, real=x.dtype)


def backward_weight_workspace(x, gy, gw, gb, y=None, *, stride, padding, groups):
    if _rung("conv.backward_weight", x, gw, gy, stride, groups) == "naive":
        return 0
    return nbytes(*_weight_plan(gy, gw, groups))


_PART = 512  # pixels, at least: so writing and adding up the parts of a sum stays small beside making them
_PARTS = 512  # tiles and parts fill a GPU several times


def _weight_tile(gy, gw, groups):
    return tile(len(gw) // groups, gw.size // len(gw), groups * blocks(_pixels(gy), _PART))


def _per_part(gy, gw, groups):
    """How many pixels a block sums: it depends on shapes only, and so do the bits of the result."""
    rows, columns = _weight_tile(gy, gw, groups)
    tiles = blocks(len(gw) // groups, rows) * blocks(gw.size // len(gw), columns) * groups
    return max(_PART, padded(blocks(_pixels(gy), blocks(_PARTS, tiles)), DEPTH))


def _weight_plan(gy, gw, groups):
    """The (shape, dtype) of the table of windows, and of the parts of the sum, if there is more than one."""
    parts = blocks(_pixels(gy), _per_part(gy, gw, groups))
    return ((math.prod(gy.shape[2:]), 2), np.int32), ((parts if parts > 1 else 0, *gw.shape), gw.dtype)


def _pixels(y):
    """Those of all images."""
    N, _, P, Q = y.shape
    return N * P * Q


def _pixels_of_a_phase(gx, stride):
    """Those of the largest one, of all images."""
    N, _, H, W = gx.shape
    return N * -(-H // stride[0]) * -(-W // stride[1])


def _rung(kernel, x, weight, y, stride, groups):
    """The chosen rung, but the first one for what the others do not serve: filters of so many rows and columns that a
    mask of 31 bits does not hold them, more groups (times phases) than a grid has layers, and images of more elements
    than an int can count."""
    serves = (sum(weight.shape[2:]) < 32 and groups * math.prod(stride) < 65536
              and max(x.size // len(x), y.size // len(y), weight.size) < 2 ** 31)
    return ladder.chosen(kernel, x.dtype) if serves else "naive"


def _one_per_thread(source, kernel, count, *arguments, **options):
    source.launch(kernel, blocks(count, _THREADS), _THREADS, *arguments, **options)


def _shape(x, weight, y, stride, padding, groups):
    """The numbers that ``shape.cuh`` names SHAPE."""
    N, C, H, W = x.shape
    _, K, P, Q = y.shape
    return N, C, H, W, K, P, Q, *weight.shape[2:], *stride, *padding, groups
