"""Arithmetic, element by element, on a GPU: arrays of any strides, as ``kernels/gpu/strides.py`` describes them.

A walk of more than four axes that cannot be joined is cut along its outer axes into several launches.
"""

import itertools
import math
import operator

import numpy as np

from ..gpu import Source, blocks
from ..gpu.strides import address, join, padded, steps_of

_ARITHMETIC = Source(__file__, "elementwise.cu")
_COPY = Source(__file__, "copy.cu")
_THREADS, _EACH = 256, 4  # elements of each thread, as in threads.cuh
_AXES = 4
_TILE, _TILE_ROWS = 32, 8
_WORTH_A_TILE = 8  # narrower than this, a tile would lie idle for the most part


def copy(x, y):
    for sizes, (from_x, to_y) in _walks(x, y):
        types = {"FROM": x.dtype.name, "TO": y.dtype.name}
        turned = _transposition(sizes, from_x[1], to_y[1])
        if turned is None:
            _launch(_COPY, "copy", sizes, (from_x, to_y), **types)
        else:
            sizes, from_x, to_y = turned[0], (from_x[0], turned[1]), (to_y[0], turned[2])
            tiles = math.prod(sizes[:-2]) * blocks(sizes[-2], _TILE) * blocks(sizes[-1], _TILE)
            _launch(_COPY, "transpose", sizes, (from_x, to_y), grid=tiles, block=(_TILE, _TILE_ROWS), **types)


def fill(y, *, value):
    for sizes, arrays in _walks(y):
        _launch(_COPY, "fill", sizes, arrays, y.dtype.type(value), FROM=y.dtype.name, TO=y.dtype.name,
                real=np.float64 if y.dtype == np.float64 else np.float32)  # a np.float64 is a float, and so a REAL


def add(a, b, y):
    _compute("add", a, b, y)


def sub(a, b, y):
    _compute("sub", a, b, y)


def mul(a, b, y):
    _compute("mul", a, b, y)


def div(a, b, y):
    _compute("div", a, b, y)


def scale(x, y, *, factor):
    _compute("scale", x, y, number=x.dtype.type(factor))


def power(x, y, *, exponent):
    _compute("power", x, y, number=x.dtype.type(exponent))


def exp(x, y):
    _compute("exponential", x, y, number=x.dtype.type(0))


def log(x, y):
    _compute("logarithm", x, y, number=x.dtype.type(0))


def _compute(kernel, *arrays, number=None):
    for sizes, walked in _walks(*arrays):
        _launch(_ARITHMETIC, kernel, sizes, walked, *(() if number is None else (number,)), real=arrays[-1].dtype)


def _launch(source, kernel, sizes, walked, *more, grid=None, block=_THREADS, **options):
    """One launch: the sizes, each array's address and steps, then what else the kernel takes."""
    count = math.prod(sizes)
    axes = (np.int64(count), *padded(sizes[1:] if len(sizes) == _AXES else sizes, _AXES - 1, 1))
    arrays = (a for at, steps in walked for a in (at, *padded(steps, _AXES, 0)))
    source.launch(kernel, grid or blocks(count, _EACH * block), block, *axes, *arrays, *more, **options)


def _walks(*arrays):
    """(sizes, (address, steps) of each array) of each launch: the last array's shape, to which the others are
    broadcast, with its memory order as the order of the walk."""
    y = arrays[-1]
    if y.size == 0:
        return
    steps = [steps_of(a, y.shape) for a in arrays]
    order = sorted(range(y.ndim), key=lambda axis: -abs(steps[-1][axis]))
    sizes, *steps = join(*([axes[i] for i in order] for axes in (y.shape, *steps)))
    outer = max(0, len(sizes) - _AXES)
    for place in itertools.product(*map(range, sizes[:outer])):
        yield sizes[outer:], [(address(a, sum(map(operator.mul, place, axes))), axes[outer:])
                              for a, axes in zip(arrays, steps, strict=True)]


def _transposition(sizes, x, y):
    """The walk (sizes, steps of x, of y) with the axis along which x is dense moved to the last but one, if it is
    another than the one along which y is dense (the last), and tiles pay."""
    dense = [axis for axis, step in enumerate(x[:-1]) if abs(step) == 1]
    if not dense or abs(x[-1]) <= 1 or min(sizes[dense[0]], sizes[-1]) < _WORTH_A_TILE:
        return None
    order = [axis for axis in range(len(sizes) - 1) if axis != dense[0]] + [dense[0], len(sizes) - 1]
    return [[axes[i] for i in order] for axes in (sizes, x, y)]
