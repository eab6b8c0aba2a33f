"""Winograd's transforms of tiles, for 3x3 and 5x5 filters: small matrices from the left and from the right.

Lavin and Gray 2016, with the points 0, 1, -1, 2, -2, infinity, 1/2, -1/2: the first n of them for a tile of n numbers
in a direction, which gives m = n + 1 - taps pixels.  With * for the product element by element, a tile is

    y  = A' [(G w G') * (B' x B)] A                 ' is the transpose
    gw = G' [(A gy A') * (B' x B)] G                the same product of three, derived by w

Row a of A holds the powers of a point, (1, a, a^2, ...), and so does row a of G, times a factor.  Neither changes when
a point is added; only B' does.  So the transformed filters of a large tile serve a small one, too: it leaves the rest
out.

The numbers (i, j) of a tile may be anywhere: a table of *places* says how far from its first, POINTS for each row i.
At each place are so many channels, side by side.  A transform is written for one column of vectors, a vector being a
few neighbouring channels; it is applied to all columns of a tile, then to all rows of the result.
"""

from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import isa
from ..jit import inline
from ..layout import LINE
from ..vectors import Code

POINTS = 8  # at most, in a direction
CHUNK = 64  # channels at a time: a tile of them stays in a first-level cache
ROW = POINTS * CHUNK + LINE  # lest the rows of a tile fall into the same few sets of that cache
VECTOR = 16  # channels fill the vectors of any processor
SKEW = 80  # numbers between the places, lest those of a tile all fall into the same few sets of a cache; and VECTOR or
# more, for the last vectors of the last tile may reach into them
ROWS = 16  # of transformed weights that a thread collects
PLACE = ROWS * CHUNK + SKEW  # numbers from place to place of those


@dataclass
class _Vector:
    """A vector in a register: its operators write instructions."""
    code: Code
    value: ir.Value

    def __add__(self, other):
        return _Vector(self.code, self.code.b.fadd(self.value, other.value))

    def __sub__(self, other):
        return _Vector(self.code, self.code.b.fsub(self.value, other.value))

    def __rmul__(self, factor):
        return _Vector(self.code, self.code.b.fmul(self.code.constant(factor), self.value))


def _fma(factor, x, y):
    """factor * x + y, rounded once where the processor has such an instruction."""
    return _Vector(x.code, x.code.fma(x.code.constant(factor), x.value, y.value))


def _six(d):
    """B' d for the first six points."""
    even, odd, even2, odd2 = _fma(-4, d[2], d[4]), _fma(-4, d[1], d[3]), d[4] - d[2], d[3] - d[1]
    return [_fma(4, d[0], _fma(-5, d[2], d[4])), even + odd, even - odd, _fma(2, odd2, even2), _fma(-2, odd2, even2),
            _last(d)]


def _b(d, n):
    """v = B' d.

    Row a of B' is the polynomial that is 0 at the other points, (x - b)(x - c)..., by its coefficients; that of
    infinity is 0 at all.  To add a point is to multiply the rows by a factor, and d seen through x - h is the
    differences of its neighbours: so seven and eight points are six of (x - 1/2) d and of (x - 1/2)(x + 1/2) d.  The
    row of a point is also divided by its own factors there."""
    if n == 6:
        return _six(d)
    shift, factors = _MORE[n]
    *v, v5 = _six([_fma(shift, *pair) for pair in zip(d, d[n - 6:], strict=False)])
    even, odd = _last(d[n - 7:]), _last(d)
    rest = [odd] if n == 7 else [_fma(1 / 2, odd, even), _fma(-1 / 2, odd, even)]
    return [*(factor * value for factor, value in zip(factors, v, strict=True)), v5, *rest]


# For 7 and 8 points: what d is seen through, and at 0, +-1 and +-2, 1 / (a - 1/2) and 1 / (a*a - 1/4).
_MORE = {7: (-1 / 2, (-2, 2, -2 / 3, 2 / 3, -2 / 5)), 8: (-1 / 4, (-4, 4 / 3, 4 / 3, 4 / 15, 4 / 15))}


def _last(d):
    """d seen through x (x - 1)(x + 1)(x - 2)(x + 2)."""
    return _fma(4, d[1], _fma(-5, d[3], d[5]))


# The factors of G at 0, +-1, +-2 and +-1/2: those that B' lacks.
_FACTORS, _NONE = (1 / 4, -1 / 6, 1 / 24, 32 / 45), (1, 1, 1, 1)


def _values(factors):
    """v = A y, or G y: the values, times the factors, of the polynomial with the coefficients y at n points."""
    f0, f1, f2, f_half = factors

    def values(y, n):
        even, even2, even_half = y[0] + y[2], _fma(4, y[2], y[0]), _fma(1 / 4, y[2], y[0])
        odd = odd2 = odd_half = y[1]  # divided by the point
        if len(y) > 3:
            odd, odd2, odd_half = odd + y[3], _fma(4, y[3], odd2), _fma(1 / 4, y[3], odd_half)
        if len(y) > 4:
            even, even2, even_half = even + y[4], _fma(16, y[4], even2), _fma(1 / 16, y[4], even_half)
        even, even2, even_half = f1 * even, f2 * even2, f_half * even_half
        return [f0 * y[0], _fma(f1, odd, even), _fma(-f1, odd, even), _fma(2 * f2, odd2, even2),
                _fma(-2 * f2, odd2, even2), y[-1], _fma(f_half / 2, odd_half, even_half),
                _fma(-f_half / 2, odd_half, even_half)][:n]
    return values


def _sums(factors):
    """y = A' v, or G' v: the transpose."""
    def sums(v, m):
        halves = [(v[i] + v[i + 1], v[i] - v[i + 1]) for i in (1, 3, 6) if i + 1 < len(v)]  # even powers, and odd
        if len(v) == 7:
            halves.append((v[6], v[6]))
        y = [factors[1] * halves[0][k % 2] for k in range(m)]
        y[0] = _fma(factors[0], v[0], y[0])
        for point, factor, half in zip((2, 1 / 2), factors[2:], halves[1:], strict=False):
            y = [_fma(factor * point ** k, half[k % 2], value) for k, value in enumerate(y)]
        y[-1] += v[5]
        return y
    return sums


def _unchanged(code):
    return lambda vector, at: vector


def _with_bias(code, bias, relu):
    """Plus the bias, and with ``relu`` 0 where that is negative."""
    bias, floor = code.numbers(bias), code.floor(relu)
    return lambda vector, at: code.clip(code.b.fadd(vector, code.load(code.at(bias, at))), floor)


def _transform(one, sizes, finish=_unchanged):
    """What writes the transform ``one`` in both directions, for lines of each of the ``sizes`` (before, after).

    It makes of tiles of ``rows`` and ``columns`` those of ``to_rows`` and ``to_columns``, for ``count`` channels, and
    those that fill their last vector; source, target and their places are addresses.  ``finish`` makes of ``more`` what
    is done last to each vector, of the channels from ``at`` on."""
    @intrinsic
    def transform(typing_context, kind, rows, columns, to_rows, to_columns, source, source_places, target,
                  target_places, count, more):
        def generate(context, builder, signature, values):
            item = context.get_abi_sizeof(context.get_data_type(kind.dtype))
            # What is compiled is kept on disk, and serves processes with another TINYCONV_ISA.
            code = Code(builder, item, isa.ALL[isa.of_this_cpu()].lanes(item))
            _, rows, columns, to_rows, to_columns, source, source_places, target, target_places, count, more = values
            source, target = code.numbers(source), code.numbers(target)
            source_places, target_places = code.table(source_places), code.table(target_places)
            half, last = code.room(POINTS * POINTS), finish(code, *cgutils.unpack_tuple(builder, more))

            def vector(i, _):
                at = builder.mul(i, code.int(code.lanes))
                _along(code, one, sizes, columns, rows, to_rows,
                       lambda column, row: code.at(source, at, code.entry(
                           code.at(source_places, column), row * POINTS)),
                       lambda column, row: code.at(half, builder.mul(column, code.int(code.lanes)),
                                                   row * POINTS * code.lanes))
                _along(code, one, sizes, to_rows, columns, to_columns,
                       lambda row, column: code.at(half, builder.mul(row, code.int(POINTS * code.lanes)),
                                                   column * code.lanes),
                       lambda row, column: code.at(target, at, code.entry(
                           code.at(target_places, builder.mul(row, code.int(POINTS))), column)),
                       lambda vector: last(vector, at))
                return []

            filled = builder.sdiv(builder.add(count, code.int(VECTOR - 1)), code.int(VECTOR))
            code.loop(builder.mul(filled, code.int(VECTOR // code.lanes)), [], vector)
            return context.get_dummy_value()

        return types.void(kind, *[types.int64] * 9, more), generate
    return transform


def _along(code, one, sizes, lines, size, to_size, source, target, last=lambda vector: vector):
    """The transform of each of the ``lines`` (columns, or rows) of a tile: ``size`` vectors to ``to_size``, which are
    one of the ``sizes``.  Vector k of a line is at source(line, k), and goes, after what is done ``last``, to
    target(line, k)."""
    for known in sizes:
        def line(i, _, before=known[0], after=known[1]):
            vectors = one([_Vector(code, code.load(source(i, k))) for k in range(before)], after)
            for k, vector in enumerate(vectors):
                code.store(last(vector.value), target(i, k))
            return []

        with code.when((size, to_size), known):
            # Of a number that the compiler knows it would make so many copies, and mix them until no register is free.
            code.loop(code.opaque(lines), [], line)


_PIXELS = (6, 4), (7, 5), (7, 3), (8, 4)  # points of a tile and its pixels, for 3x3 and for 5x5 filters
_TAPS = (6, 3), (7, 3), (7, 5), (8, 5)  # points, and taps of the filter


def _reverse(sizes):
    return [size[::-1] for size in sizes]


b_both = _transform(_b, [(n, n) for n in (6, 7, 8)])  # v = B' x B
a_both = _transform(_values(_NONE), _reverse(_PIXELS))  # v = A gy A'
a_transposed_both = _transform(_sums(_NONE), _PIXELS, _with_bias)  # y = A' v A + bias; 0 where it is < 0, with relu
g_both = _transform(_values(_FACTORS), _reverse(_TAPS))  # v = G w G'
g_transposed_both = _transform(_sums(_FACTORS), _TAPS)  # gw = G' v G

PATCH = np.add.outer(np.arange(POINTS) * ROW, np.arange(POINTS) * CHUNK).reshape(-1)  # the places of a tile by itself


@inline
def grid(down, right):
    """Places (i, j) at i*down + j*right."""
    places = np.empty(POINTS * POINTS, np.int64)
    for i in range(POINTS):
        for j in range(POINTS):
            places[i * POINTS + j] = i * down + j * right
    return places
