"""Transposition of small matrices: squares of 8 x 8 numbers are turned in registers.

A square is eight vectors, its rows.  Three rounds of exchanges turn it: between rows that are 1, then 2, then 4 apart,
in each pair the upper row gives its odd, and the lower its even, blocks of 1, 2, 4 lanes.  That is 24 exchanges of two
vectors for 64 numbers; one by one they would be 64 loads and 64 stores.
"""

from numba import types
from numba.extending import intrinsic

from .jit import inline, jit, prange
from .runs import copy, run, where
from .vectors import Code

_SIDE = 8  # of a square: its rows fill the vectors of AVX2; squares of 16 for AVX-512 are hardly quicker
_FEW = 2  # columns that are quicker copied one by one than turned in squares that were turned already


@intrinsic
def _turn(typing_context, kind, source, pitch, target, step):
    """A square from address to address; its rows are ``pitch``, and in the target ``step``, numbers of a kind apart."""
    def generate(context, builder, signature, values):
        code = Code(builder, context.get_abi_sizeof(context.get_data_type(kind.dtype)), _SIDE)
        _, source, pitch, target, step = values
        rows = [code.load(place) for place in code.spaced(code.numbers(source), pitch, _SIDE)]
        for distance in (1, 2, 4):
            rows = _exchange(code, rows, distance)
        for row, place in zip(rows, code.spaced(code.numbers(target), step, _SIDE), strict=True):
            code.store(row, place)
        return context.get_dummy_value()

    return types.void(kind, types.int64, types.int64, types.int64, types.int64), generate


def _exchange(code, rows, distance):
    lanes = range(_SIDE)
    upper = code.lanes_of([lane if not lane & distance else _SIDE + lane - distance for lane in lanes])
    lower = code.lanes_of([lane + distance if not lane & distance else _SIDE + lane for lane in lanes])
    result = list(rows)
    for i in lanes:
        if not i & distance:
            pair = rows[i], rows[i + distance]
            result[i], result[i + distance] = (code.b.shuffle_vector(*pair, which) for which in (upper, lower))
    return result


@inline
def transpose(target, to, step, source, at, pitch, height, width):
    """target[to + j*step + i] = source[at + i*pitch + j] for i < height and j < width: elements in memory order of two
    dense arrays of one type."""
    if pitch == 1:  # so is the width
        copy(run(target, to, height), run(source, at, height))
        return
    if height < _SIDE:
        for i in range(height):
            for j in range(width):
                run(target, to + j * step + i, 1)[0] = run(source, at + i * pitch + j, 1)[0]
        return
    squares = width // _SIDE * _SIDE
    if squares and width - squares > _FEW:
        squares = width
    for i in range(0, height, _SIDE):
        i = min(i, height - _SIDE)  # the last squares overlap the ones before
        for j in range(0, squares, _SIDE):
            j = min(j, width - _SIDE)
            _turn(source.dtype, where(source, at + i * pitch + j), pitch, where(target, to + j * step + i), step)
    for j in range(squares, width):
        column = run(target, to + j * step, height)
        for i in range(height):
            column[i] = run(source, at + i * pitch + j, 1)[0]


@jit
def transpose_all(x, y):
    """y[n, b, a] = x[n, a, b], so many columns of x at a time that what is written stays in the caches."""
    N, A, B = x.shape
    strip = 32
    blocks = (B + strip - 1) // strip
    for task in prange(N * blocks):
        n, b = task // blocks, task % blocks * strip
        transpose(y, (n * B + b) * A, A, x, n * A * B + b, B, A, min(strip, B - b))
