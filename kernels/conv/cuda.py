"""Convolution on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses one."""

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
    rung = _rung("conv.forward", x, weight, stride, groups)
    shape = _shape(x, weight, y, stride, padding, groups)
    if rung == "naive":
        _one_per_thread(_NAIVE, "forward", y.size, x, weight, bias, y, relu, *shape, real=x.dtype)
        return
    pixels = y.size // len(weight)
    if rung in SQUARES:
        side, count = SQUARES[rung]
        _FORWARD[rung].launch("forward", (blocks(pixels, side), blocks(len(weight) // groups, side), groups), count,
                              x, weight, bias, y, relu, *shape)
        return
    rows, columns = tile(len(weight) // groups, pixels)
    packed, table = deal(scratch, *_forward_plan(x, weight, y, groups))
    depth, pitch = packed.shape[1:]
    _one_per_thread(_PACK, "pack_forward", packed.size, weight, packed, table, depth, pitch, *shape)
    _FORWARD[rung].launch("forward", (blocks(pixels, columns) * (pitch // rows), groups),
                          threads((rows, columns)), x, packed, table, bias, y, relu, depth, pitch, *shape,
                          ROWS=rows, COLUMNS=columns)


def forward_workspace(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None):
    packs = _rung("conv.forward", x, weight, stride, groups) in ("vectorised", "tf32")
    return nbytes(*_forward_plan(x, weight, y, groups)) if packs else 0


def _forward_plan(x, weight, y, groups):
    """The (shape, dtype) of packed weights and of the table of taps: see ``pack.cu``."""
    K = len(weight)
    rows, _ = tile(K // groups, y.size // K)
    depth = padded(math.prod(weight.shape[1:]), DEPTH)
    return ((groups, depth, padded(K // groups, rows)), x.dtype), ((depth, 2), np.int32)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups, scratch):
    shape = _shape(gx, weight, gy, stride, padding, groups)
    if _rung("conv.backward_input", gx, weight, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_input", gx.size, gy, weight, gx, y, *shape, real=gx.dtype)
        return
    rows, columns = _input_tile(weight, gx, stride)
    packed, table = deal(scratch, *_input_plan(weight, gx, stride, groups))
    phases, _, depth, pitch = packed.shape
    _one_per_thread(_PACK, "pack_backward_input", packed.size, weight, packed, table, depth, pitch, *shape)
    _INPUT.launch("backward_input", (blocks(_pixels(gx, stride), columns) * (pitch // rows), phases * groups),
                  threads((rows, columns)), gy, packed, table, gx, y, depth, pitch, *shape,
                  ROWS=rows, COLUMNS=columns, MASKED=int(y is not None))


def backward_input_workspace(gy, weight, gx, y=None, *, stride, padding, groups):
    if _rung("conv.backward_input", gx, weight, stride, groups) == "naive":
        return 0
    return nbytes(*_input_plan(weight, gx, stride, groups))


def _input_plan(weight, gx, stride, groups):
    """The (shape, dtype) of the weights packed for each phase (``phase.cuh``), and of its tables of taps."""
    K, per_group, R, S = weight.shape
    rows, _ = _input_tile(weight, gx, stride)
    depth = padded(K // groups * -(-R // stride[0]) * -(-S // stride[1]), DEPTH)
    phases = math.prod(stride)
    return ((phases, groups, depth, padded(per_group, rows)), gx.dtype), ((phases, depth, 2), np.int32)


def _input_tile(weight, gx, stride):
    return tile(weight.shape[1], _pixels(gx, stride))


def _pixels(gx, stride):
    """Those of the largest phase, of all images."""
    N, _, H, W = gx.shape
    return N * -(-H // stride[0]) * -(-W // stride[1])


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups, scratch):
    N, K, P, Q = gy.shape
    shape = _shape(x, gw, gy, stride, padding, groups)
    if _rung("conv.backward_weight", x, gw, stride, groups) == "naive":
        _one_per_thread(_NAIVE, "backward_weight", gw.size, x, gy, gw, y, *shape, real=x.dtype)
    else:
        rows, columns = _weight_tile(gw, groups)
        table, parts = deal(scratch, *_weight_plan(gy, gw, groups))
        macros = {"ROWS": rows, "COLUMNS": columns, "MASKED": int(y is not None)}
        grid = blocks(K // groups, rows) * blocks(gw[0].size, columns), groups, max(1, len(parts))
        _one_per_thread(_PACK, "windows", P * Q, table, *shape)
        _WEIGHT.launch("backward_weight", grid, threads((rows, columns)), x, gy, table, parts if len(parts) else gw, y,
                       _per_part(gy, gw, groups), *shape, **macros)
        if len(parts):
            _one_per_thread(_WEIGHT, "sum_parts", gw.size, parts, gw, len(parts), np.int64(gw.size), **macros)
    if gb is not None:
        _BIAS.launch("bias_gradient", K, _THREADS, gy, y, gb, N, K, P * Q, real=x.dtype)


def backward_weight_workspace(x, gy, gw, gb, y=None, *, stride, padding, groups):
    if _rung("conv.backward_weight", x, gw, stride, groups) == "naive":
        return 0
    return nbytes(*_weight_plan(gy, gw, groups))


def _weight_plan(gy, gw, groups):
    """The (shape, dtype) of the table of windows, and of the parts of the sum, if there is more than one."""
    N, _, P, Q = gy.shape
    parts = blocks(N * P * Q, _per_part(gy, gw, groups))
    return ((P * Q, 2), np.int32), ((parts if parts > 1 else 0, *gw.shape), gw.dtype)


def _weight_tile(gw, groups):
    return tile(len(gw) // groups, gw[0].size)


def _per_part(gy, gw, groups):
    """How many pixels a block sums: enough parts to fill a GPU, but at least 512 pixels, that writing and adding up
    the parts stay small beside it."""
    N, _, P, Q = gy.shape
    rows, columns = _weight_tile(gw, groups)
    tiles = blocks(len(gw) // groups, rows) * blocks(gw[0].size, columns) * groups
    return max(512, padded(blocks(N * P * Q, blocks(512, tiles)), DEPTH))


def _rung(kernel, x, weight, stride, groups):
    """The chosen rung, but the first one for what the others do not serve: filters of so many rows and columns that a
    mask of 31 bits does not hold them, and more groups (times phases) than a grid has layers."""
    R, S = weight.shape[2:]
    return ladder.chosen(kernel, x.dtype) if R + S < 32 and groups * math.prod(stride) < 65536 else "naive"


def _one_per_thread(source, kernel, count, *arguments, **options):
    source.launch(kernel, blocks(count, _THREADS), _THREADS, *arguments, **options)


def _shape(x, weight, y, stride, padding, groups):
    """The numbers that ``shape.cuh`` names SHAPE."""
    N, C, H, W = x.shape
    _, K, P, Q = y.shape
    return N, C, H, W, K, P, Q, *weight.shape[2:], *stride, *padding, groups
