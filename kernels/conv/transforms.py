"""Winograd's transforms of tiles, for 3x3 and 5x5 filters: small matrices from the left and from the right.

Lavin and Gray 2016, with the points 0, 1, -1, 2, -2 and infinity.  A tile is 6 x 6 pixels of x, and gives m x m pixels
of y, with m = 4 for 3x3 filters and m = 2 for 5x5 ones.  With * for the product element by element, they are

    y  = A' [(G w G') * (B' x B)] A                 ' is the transpose
    gw = G' [(A gy A') * (B' x B)] G                the same product of three, derived by w

A tile is held for CHUNK channels at a time, as 36 runs of CHUNK numbers one after the other in a flat array.  Each
transform is written once, for numbers that are ``step`` apart, and made for the two directions, down and across: steps
and lengths that are constants let the compiler see that the runs do not overlap, and so use vector instructions.
"""

from ..jit import inline
from ..runs import run

CHUNK = 64  # channels at a time: a tile and its transform fill half of a first-level cache
SKEW = 80  # numbers between the 36 places, lest the 36 runs of a tile all fall into the same few sets of a cache
ROWS = 16  # of transformed weights that a thread collects
PLACE = ROWS * CHUNK + SKEW  # numbers from place to place of those
_ROW = 6 * CHUNK


def _b_along(step):
    """v = B' d along one direction, for ``count`` neighbouring numbers."""
    @inline
    def b(d, v, count):
        two, four, five = d.dtype.type(2), d.dtype.type(4), d.dtype.type(5)  # an integer would make double precision
        for c in range(count):
            d0, d1, d2, d3, d4, d5 = (d[c], d[c + step], d[c + 2 * step], d[c + 3 * step], d[c + 4 * step],
                                      d[c + 5 * step])
            even, odd, even2, odd2 = d4 - four * d2, d3 - four * d1, d4 - d2, two * (d3 - d1)
            v[c] = four * d0 - five * d2 + d4
            v[c + step] = even + odd
            v[c + 2 * step] = even - odd
            v[c + 3 * step] = even2 + odd2
            v[c + 4 * step] = even2 - odd2
            v[c + 5 * step] = four * d1 - five * d3 + d5
    return b


def _a_transposed_along(step):
    """y = A' v."""
    @inline
    def a_transposed(m, v, y, count):
        two, four, eight = v.dtype.type(2), v.dtype.type(4), v.dtype.type(8)
        if m == 2:  # outside the loop, which else would not become vector code
            for c in range(count):
                y[c] = v[c] + (v[c + step] + v[c + 2 * step]) + (v[c + 3 * step] + v[c + 4 * step])
                y[c + step] = ((v[c + step] - v[c + 2 * step]) + two * (v[c + 3 * step] - v[c + 4 * step])
                               + v[c + 5 * step])
            return
        for c in range(count):
            v0, v1, v2, v3, v4, v5 = (v[c], v[c + step], v[c + 2 * step], v[c + 3 * step], v[c + 4 * step],
                                      v[c + 5 * step])
            sum1, difference1, sum2, difference2 = v1 + v2, v1 - v2, v3 + v4, v3 - v4
            y[c] = v0 + sum1 + sum2
            y[c + step] = difference1 + two * difference2
            y[c + 2 * step] = sum1 + four * sum2
            y[c + 3 * step] = difference1 + eight * difference2 + v5
    return a_transposed


def _a_along(step):
    """v = A g."""
    @inline
    def a(m, g, v, count):
        two, four, eight = g.dtype.type(2), g.dtype.type(4), g.dtype.type(8)
        if m == 2:
            for c in range(count):
                g0, g1 = g[c], g[c + step]
                v[c] = g0
                v[c + step] = g0 + g1
                v[c + 2 * step] = g0 - g1
                v[c + 3 * step] = g0 + two * g1
                v[c + 4 * step] = g0 - two * g1
                v[c + 5 * step] = g1
            return
        for c in range(count):
            g0, g1, g2, g3 = g[c], g[c + step], g[c + 2 * step], g[c + 3 * step]
            even, odd, even2, odd2 = g0 + g2, g1 + g3, g0 + four * g2, two * g1 + eight * g3
            v[c] = g0
            v[c + step] = even + odd
            v[c + 2 * step] = even - odd
            v[c + 3 * step] = even2 + odd2
            v[c + 4 * step] = even2 - odd2
            v[c + 5 * step] = g3
    return a


def _g_along(step, apart):
    """v = G w, for 3 or 5 taps: three are five whose last two are 0.  The numbers of v are ``apart``."""
    @inline
    def g(taps, w, v, count):
        number, last = w.dtype.type, (taps - 1) * step
        two, four, eight, sixteen = number(2), number(4), number(8), number(16)
        quarter, sixth, part = number(1 / 4), number(-1 / 6), number(1 / 24)
        for c in range(count):
            w0, w1, w2, w3, w4 = w[c], w[c + step], w[c + 2 * step], w[c + 3 * step], w[c + 4 * step]
            at_infinity = w[c + last]
            even, odd, even2, odd2 = w0 + w2 + w4, w1 + w3, w0 + four * w2 + sixteen * w4, two * w1 + eight * w3
            v[c] = quarter * w0
            v[c + apart] = sixth * (even + odd)
            v[c + 2 * apart] = sixth * (even - odd)
            v[c + 3 * apart] = part * (even2 + odd2)
            v[c + 4 * apart] = part * (even2 - odd2)
            v[c + 5 * apart] = at_infinity
    return g


def _g_transposed_along(step):
    """gw = G' s, for 3 or 5 taps; of three, two more numbers are written that mean nothing."""
    @inline
    def g_transposed(taps, s, gw, count):
        number, last = s.dtype.type, (taps - 1) * step
        two, four, eight, sixteen = number(2), number(4), number(8), number(16)
        quarter, sixth, part = number(1 / 4), number(-1 / 6), number(1 / 24)
        for c in range(count):
            even, odd = sixth * (s[c + step] + s[c + 2 * step]), sixth * (s[c + step] - s[c + 2 * step])
            even2, odd2 = part * (s[c + 3 * step] + s[c + 4 * step]), part * (s[c + 3 * step] - s[c + 4 * step])
            gw[c] = quarter * s[c] + even + even2
            gw[c + step] = odd + two * odd2
            gw[c + 2 * step] = even + four * even2
            gw[c + 3 * step] = odd + eight * odd2
            gw[c + 4 * step] = even + sixteen * even2
        for c in range(count):  # the point at infinity
            gw[c + last] += s[c + 5 * step]
    return g_transposed


_b_down, _b_across = _b_along(_ROW), _b_along(CHUNK)
_a_transposed_down, _a_transposed_across = _a_transposed_along(_ROW), _a_transposed_along(CHUNK)
_a_down, _a_across = _a_along(_ROW), _a_along(CHUNK)
_g_down, _g_across = _g_along(_ROW, _ROW), _g_along(CHUNK, PLACE)
_g_transposed_down, _g_transposed_across = _g_transposed_along(_ROW), _g_transposed_along(CHUNK)


@inline
def b_both(x, v, spare):
    """v = B' x B."""
    _b_down(x, spare, _ROW)
    for i in range(6):
        _b_across(run(spare, i * _ROW, _ROW), run(v, i * _ROW, _ROW), CHUNK)


@inline
def a_transposed_both(m, v, y, spare):
    """y = A' v A: the first m rows and columns of y."""
    _a_transposed_down(m, v, spare, _ROW)
    for i in range(m):
        _a_transposed_across(m, run(spare, i * _ROW, _ROW), run(y, i * _ROW, _ROW), CHUNK)


@inline
def a_both(m, gy, v, spare):
    """v = A gy A', of the first m rows and columns of gy."""
    _a_down(m, gy, spare, m * CHUNK)
    for i in range(6):
        _a_across(m, run(spare, i * _ROW, _ROW), run(v, i * _ROW, _ROW), CHUNK)


@inline
def g_both(taps, w, v, at, spare):
    """v = G w G', of the first ``taps`` rows and columns of w; the next ones, up to five, and of ``spare``, are 0.

    The 36 runs of v begin at ``at`` and are PLACE apart."""
    _g_down(taps, w, spare, taps * CHUNK)
    for i in range(6):
        _g_across(taps, run(spare, i * _ROW, _ROW), run(v, at + 6 * i * PLACE, 5 * PLACE + CHUNK), CHUNK)


@inline
def g_transposed_both(taps, v, gw, spare):
    """gw = G' v G: the first ``taps`` rows and columns of gw."""
    _g_transposed_down(taps, v, spare, _ROW)
    for i in range(taps):
        _g_transposed_across(taps, run(spare, i * _ROW, _ROW), run(gw, i * _ROW, _ROW), CHUNK)
