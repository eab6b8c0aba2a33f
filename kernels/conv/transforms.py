"""Winograd's transforms of tiles, for 3x3 and 5x5 filters: small matrices from the left and from the right.

Lavin and Gray 2016, with the points 0, 1, -1, 2, -2, infinity, 1/2, -1/2: the first n of them for a tile of n numbers
in a direction, which gives m = n + 1 - taps pixels.  With * for the product element by element, a tile is

    y  = A' [(G w G') * (B' x B)] A                 ' is the transpose
    gw = G' [(A gy A') * (B' x B)] G                the same product of three, derived by w

Row a of A holds the powers of a point, (1, a, a^2, ...), and so does row a of G, times a factor.  Neither changes when
a point is added; only B' does.  So the transformed filters of a large tile serve a small one, too: it leaves the rest
out.

A tile is held for CHUNK channels at a time, as runs of CHUNK numbers in a flat array, the rows ROW numbers apart (the
taps of a filter follow each other).  Each
transform is written once, for numbers that are ``step`` apart, and made for the two directions, down and across, and
for each size: steps and sizes that are constants let the compiler see that the runs do not overlap, and so use vector
instructions.
"""

from ..jit import inline
from ..runs import fma, run

POINTS = 8  # at most, in a direction
CHUNK = 64  # channels at a time: a tile and its transform stay in a first-level cache
ROW = POINTS * CHUNK + 16  # a line more, lest the rows of a tile fall into the same few sets of that cache
_VECTOR = 16  # channels fill the vectors of any processor
SKEW = 80  # numbers between the places, lest the runs of a tile all fall into the same few sets of a cache
ROWS = 16  # of transformed weights that a thread collects
PLACE = ROWS * CHUNK + SKEW  # numbers from place to place of those


@inline
def _six(d0, d1, d2, d3, d4, d5):
    """B' d for the first six points."""
    number = type(d0)
    two, four, five = number(2), number(4), number(5)  # an integer would make double precision
    even, odd, even2, odd2 = fma(-four, d2, d4), fma(-four, d1, d3), d4 - d2, d3 - d1
    return (fma(four, d0, fma(-five, d2, d4)), even + odd, even - odd, fma(two, odd2, even2), fma(-two, odd2, even2),
            fma(four, d1, fma(-five, d3, d5)))


def _b_along(step):
    """v = B' d along one direction, for ``count`` neighbouring numbers.

    Row a of B' is the polynomial that is 0 at the other points, (x - b)(x - c)..., by its coefficients; that of
    infinity is 0 at all.  To add a point is to multiply the rows by a factor, and d seen through x - h is the
    differences of its neighbours: so seven and eight points are six of (x - 1/2) d and of (x - 1/2)(x + 1/2) d.  The
    row of a point is also divided by its own factors there."""
    @inline
    def b6(d, v, count):
        for c in range(count):
            (v[c], v[c + step], v[c + 2 * step], v[c + 3 * step], v[c + 4 * step], v[c + 5 * step]) = _six(
                d[c], d[c + step], d[c + 2 * step], d[c + 3 * step], d[c + 4 * step], d[c + 5 * step])

    @inline
    def b7(d, v, count):
        number = d.dtype.type
        four, minus_five, minus_half = number(4), number(-5), number(-1 / 2)
        f0, f1, f2, f3, f4 = number(-2), number(2), number(-2 / 3), number(2 / 3), number(-2 / 5)  # 1 / (a - 1/2)
        for c in range(count):
            d0, d1, d2, d3, d4, d5, d6 = (d[c], d[c + step], d[c + 2 * step], d[c + 3 * step], d[c + 4 * step],
                                          d[c + 5 * step], d[c + 6 * step])
            v0, v1, v2, v3, v4, v5 = _six(
                fma(minus_half, d0, d1), fma(minus_half, d1, d2), fma(minus_half, d2, d3),
                fma(minus_half, d3, d4), fma(minus_half, d4, d5), fma(minus_half, d5, d6))
            v[c] = f0 * v0
            v[c + step] = f1 * v1
            v[c + 2 * step] = f2 * v2
            v[c + 3 * step] = f3 * v3
            v[c + 4 * step] = f4 * v4
            v[c + 5 * step] = v5
            v[c + 6 * step] = fma(four, d1, fma(minus_five, d3, d5))

    @inline
    def b8(d, v, count):
        number = d.dtype.type
        four, minus_five, half, minus_quarter = number(4), number(-5), number(1 / 2), number(-1 / 4)
        f0, f1, f2 = number(-4), number(4 / 3), number(4 / 15)  # 1 / (a*a - 1/4)
        for c in range(count):
            d0, d1, d2, d3, d4, d5, d6, d7 = (d[c], d[c + step], d[c + 2 * step], d[c + 3 * step], d[c + 4 * step],
                                              d[c + 5 * step], d[c + 6 * step], d[c + 7 * step])
            v0, v1, v2, v3, v4, v5 = _six(
                fma(minus_quarter, d0, d2), fma(minus_quarter, d1, d3), fma(minus_quarter, d2, d4),
                fma(minus_quarter, d3, d5), fma(minus_quarter, d4, d6), fma(minus_quarter, d5, d7))
            even, odd = fma(four, d2, fma(minus_five, d4, d6)), fma(four, d1, fma(minus_five, d3, d5))
            v[c] = f0 * v0
            v[c + step] = f1 * v1
            v[c + 2 * step] = f1 * v2
            v[c + 3 * step] = f2 * v3
            v[c + 4 * step] = f2 * v4
            v[c + 5 * step] = v5
            v[c + 6 * step] = fma(half, odd, even)
            v[c + 7 * step] = fma(-half, odd, even)

    @inline
    def b(_, n, d, v, count):
        if n == 6:
            b6(d, v, count)
        elif n == 7:
            b7(d, v, count)
        else:
            b8(d, v, count)
    return b


# The factors of G at 0, +-1, +-2 and +-1/2: those that B' lacks.
_FACTORS, _NONE = (1 / 4, -1 / 6, 1 / 24, 32 / 45), (1.0, 1.0, 1.0, 1.0)


def _values_along(step, apart, m, n, factors):
    """v = A y, or G y: the values, times the factors, of the polynomial with m coefficients y at n points.  The numbers
    of v are ``apart``."""
    at_0, at_1, at_2, at_half = factors

    @inline
    def values(y, v, count):
        number = y.dtype.type
        two, four, sixteen = number(2), number(4), number(16)
        half, quarter, sixteenth = number(1 / 2), number(1 / 4), number(1 / 16)
        f0, f1, f2, f_half = number(at_0), number(at_1), number(at_2), number(at_half)
        for c in range(count):
            y0, y1, y2 = y[c], y[c + step], y[c + 2 * step]
            even, even2, even_half, last = y0 + y2, fma(four, y2, y0), fma(quarter, y2, y0), y2
            odd = odd2 = odd_half = y1  # divided by the point
            if m > 3:
                last = y[c + 3 * step]
                odd, odd2, odd_half = odd + last, fma(four, last, odd2), fma(quarter, last, odd_half)
            if m > 4:
                last = y[c + 4 * step]
                even, even2, even_half = even + last, fma(sixteen, last, even2), fma(sixteenth, last, even_half)
            even, even2, even_half = f1 * even, f2 * even2, f_half * even_half
            v[c] = f0 * y0
            v[c + apart] = fma(f1, odd, even)
            v[c + 2 * apart] = fma(-f1, odd, even)
            v[c + 3 * apart] = fma(two * f2, odd2, even2)
            v[c + 4 * apart] = fma(-two * f2, odd2, even2)
            v[c + 5 * apart] = last
            if n > 6:
                v[c + 6 * apart] = fma(half * f_half, odd_half, even_half)
            if n > 7:
                v[c + 7 * apart] = fma(-half * f_half, odd_half, even_half)
    return values


def _sums_along(step, m, n, factors):
    """y = A' v, or G' v: the transpose."""
    at_0, at_1, at_2, at_half = factors

    @inline
    def sums(v, y, count):
        number = v.dtype.type
        two, four, eight, sixteen = number(2), number(4), number(8), number(16)
        half, quarter, eighth, sixteenth = number(1 / 2), number(1 / 4), number(1 / 8), number(1 / 16)
        f0, f1, f2, f_half = number(at_0), number(at_1), number(at_2), number(at_half)
        for c in range(count):
            v1, v2, v3, v4, last = v[c + step], v[c + 2 * step], v[c + 3 * step], v[c + 4 * step], v[c + 5 * step]
            even, odd, even2, odd2 = f1 * (v1 + v2), f1 * (v1 - v2), f2 * (v3 + v4), f2 * (v3 - v4)
            y0, y1, y2 = fma(f0, v[c], even + even2), fma(two, odd2, odd), fma(four, even2, even)
            y3, y4 = fma(eight, odd2, odd), fma(sixteen, even2, even)
            if n > 6:
                even_half = odd_half = v[c + 6 * step]
                if n > 7:
                    even_half, odd_half = even_half + v[c + 7 * step], odd_half - v[c + 7 * step]
                even_half, odd_half = f_half * even_half, f_half * odd_half
                y0, y1, y2 = y0 + even_half, fma(half, odd_half, y1), fma(quarter, even_half, y2)
                y3, y4 = fma(eighth, odd_half, y3), fma(sixteenth, even_half, y4)
            y[c] = y0
            y[c + step] = y1
            y[c + 2 * step] = y2 + last if m == 3 else y2
            if m > 3:
                y[c + 3 * step] = y3 + last if m == 4 else y3
            if m > 4:
                y[c + 4 * step] = y4 + last
    return sums


def _of_each_size(make, sizes):
    """One function of all that ``make`` makes of the four (m, n) that there are."""
    (m0, n0), (m1, n1), (m2, n2), (m3, n3) = sizes
    first, second, third, fourth = (make(*size) for size in sizes)

    @inline
    def transform(m, n, source, target, count):
        if m == m0 and n == n0:
            first(source, target, count)
        elif m == m1 and n == n1:
            second(source, target, count)
        elif m == m2 and n == n2:
            third(source, target, count)
        else:
            fourth(source, target, count)
    return transform


_OF_PIXELS, _OF_TAPS = ((4, 6), (5, 7), (3, 7), (4, 8)), ((3, 6), (3, 7), (5, 7), (5, 8))


def _both(down, across):
    """A transform in both directions, of ``columns`` runs down, then ``rows`` across, for the first ``size``
    channels."""
    @inline
    def both(p, q, height, width, columns, rows, source, target, spare, size):
        count = CHUNK
        if size > CHUNK // 2:  # all, in one long run
            down(p, height, source, spare, columns * CHUNK)
        else:
            count = (size + _VECTOR - 1) // _VECTOR * _VECTOR
            for j in range(columns):
                down(p, height, run(source, j * CHUNK, POINTS * ROW - j * CHUNK),
                     run(spare, j * CHUNK, POINTS * ROW - j * CHUNK), count)
        for i in range(rows):
            across(q, width, run(spare, i * ROW, ROW), run(target, i * ROW, ROW), count)
    return both


_b = _both(_b_along(ROW), _b_along(CHUNK))
_a = _both(_of_each_size(lambda m, n: _values_along(ROW, ROW, m, n, _NONE), _OF_PIXELS),
           _of_each_size(lambda m, n: _values_along(CHUNK, CHUNK, m, n, _NONE), _OF_PIXELS))
_a_transposed = _both(_of_each_size(lambda m, n: _sums_along(ROW, m, n, _NONE), _OF_PIXELS),
                      _of_each_size(lambda m, n: _sums_along(CHUNK, m, n, _NONE), _OF_PIXELS))
_g_down = _of_each_size(lambda m, n: _values_along(m * CHUNK, ROW, m, n, _FACTORS), _OF_TAPS)
_g_across = _of_each_size(lambda m, n: _values_along(CHUNK, PLACE, m, n, _FACTORS), _OF_TAPS)
_g_transposed_down = _of_each_size(lambda m, n: _sums_along(ROW, m, n, _FACTORS), _OF_TAPS)
_g_transposed_across = _of_each_size(lambda m, n: _sums_along(CHUNK, m, n, _FACTORS), _OF_TAPS)


@inline
def b_both(height, width, x, v, spare, size):
    """v = B' x B, of a tile with ``height`` points down and ``width`` across, for its first ``size`` channels."""
    _b(0, 0, height, width, width, height, x, v, spare, size)


@inline
def a_transposed_both(p, q, height, width, v, y, spare, size):
    """y = A' v A: the first p rows and q columns of y."""
    _a_transposed(p, q, height, width, width, p, v, y, spare, size)


@inline
def a_both(p, q, height, width, gy, v, spare, size):
    """v = A gy A', of the first p rows and q columns of gy."""
    _a(p, q, height, width, q, height, gy, v, spare, size)


@inline
def g_both(taps, n, w, v, at, spare):
    """v = G w G', with n points in each direction.  The taps of w follow each other, CHUNK numbers each; the n*n runs
    of v begin at ``at`` and are PLACE apart."""
    _g_down(taps, n, w, spare, taps * CHUNK)
    for i in range(n):
        _g_across(taps, n, run(spare, i * ROW, ROW), run(v, at + n * i * PLACE, (n - 1) * PLACE + CHUNK), CHUNK)


@inline
def g_transposed_both(taps, n, v, gw, spare):
    """gw = G' v G, whose taps follow each other, CHUNK numbers each."""
    _g_transposed_down(taps, n, v, spare, n * CHUNK)
    for i in range(taps):
        _g_transposed_across(taps, n, run(spare, i * ROW, ROW), run(gw, i * taps * CHUNK, taps * CHUNK), CHUNK)
