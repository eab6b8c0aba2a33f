"""Transposition of small matrices: squares of 8 x 8 numbers are turned in registers.

A square is eight vectors, its rows.  Three rounds of exchanges turn it: between rows that are 1, then 2, then 4 apart,
in each pair the upper row gives its odd, and the lower its even, blocks of 1, 2, 4 lanes.  That is 24 exchanges of two
vectors for 64 numbers; one by one they would be 64 loads and 64 stores.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import inline
from .runs import gather, run, where

_SIDE = 8  # of a square: its rows fill the vectors of AVX2, and half of AVX-512's, for which they are too few to matter
_FEW = 2  # columns that are quicker copied number by number than turned in squares that are turned already


@intrinsic
def _turn(typing_context, kind, source, pitch, target, step):
    """A square from address to address; rows are ``pitch``, and in the target ``step``, numbers of a kind apart."""
    def generate(context, builder, signature, values):
        number = context.get_data_type(kind.dtype)
        vector = ir.VectorType(number, _SIDE)
        item = context.get_abi_sizeof(number)

        def row(address, distance, i):
            at = builder.add(address, builder.mul(distance, ir.Constant(distance.type, i * item)))
            return builder.inttoptr(at, vector.as_pointer())

        rows = []
        for i in range(_SIDE):
            rows.append(builder.load(row(values[1], values[2], i)))
            rows[i].align = item
        for distance in (1, 2, 4):
            rows = _exchange(builder, rows, distance)
        for i in range(_SIDE):
            builder.store(rows[i], row(values[3], values[4], i)).align = item
        return context.get_dummy_value()

    return types.void(kind, types.int64, types.int64, types.int64, types.int64), generate


def _exchange(builder, rows, distance):
    lanes = range(_SIDE)
    upper = [lane if not lane & distance else _SIDE + lane - distance for lane in lanes]
    lower = [lane + distance if not lane & distance else _SIDE + lane for lane in lanes]
    result = list(rows)
    for i in lanes:
        if not i & distance:
            for to, which in ((i, upper), (i + distance, lower)):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), _SIDE), which)
                result[to] = builder.shuffle_vector(rows[i], rows[i + distance], mask)
    return result


@inline
def transpose(target, to, step, source, at, pitch, height, width):
    """target[to + j*step + i] = source[at + i*pitch + j] for i < height and j < width, elements in memory order."""
    squares = width // _SIDE * _SIDE if height >= _SIDE else 0
    if squares and width - squares > _FEW:
        squares = width
    for i in range(0, height if squares else 0, _SIDE):
        i = min(i, height - _SIDE)  # the last squares overlap the ones before
        for j in range(0, squares, _SIDE):
            j = min(j, width - _SIDE)
            _turn(source.dtype, where(source, at + i * pitch + j), pitch, where(target, to + j * step + i), step)
    for j in range(squares, width):
        gather(run(target, to + j * step, height), source, at + j, pitch)
