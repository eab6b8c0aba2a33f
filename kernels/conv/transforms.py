"""Winograd's transforms of tiles, for 3x3 and 5x5 filters: small matrices from the left and from the right.

Lavin and Gray 2016, with the points 0, 1, -1, 2, -2 and infinity.  A tile is 6 x 6 pixels of x, and gives m x m pixels
of y, with m = 4 for 3x3 filters and m = 2 for 5x5 ones.  With * for the product element by element, they are

    y  = A' [(G w G') * (B' x B)] A                 ' is the transpose
    gw = G' [(A gy A') * (B' x B)] G                the same product of three, derived by w

A tile is held for CHUNK channels at a time, as 36 runs of CHUNK numbers one after the other in a flat array: distances
that are constants let the compiler see that the runs do not overlap, and so use vector instructions.
"""

from ..jit import inline

CHUNK = 64  # channels at a time: a tile and its transform fill half of a first-level cache
_C = CHUNK
_ROW = 6 * CHUNK


@inline
def b_both(x, v, spare):
    """v = B' x B."""
    for j in range(6):
        _b(x, spare, j * _C, _ROW)
    for i in range(6):
        _b(spare, v, i * _ROW, _C)


@inline
def _b(d, v, at, step):
    """B' along one line of a tile: runs ``step`` apart, from ``at`` on."""
    two, four, five = d.dtype.type(2), d.dtype.type(4), d.dtype.type(5)  # an integer would make it double precision
    for c in range(at, at + _C):
        d0, d1, d2, d3, d4, d5 = (d[c], d[c + step], d[c + 2 * step], d[c + 3 * step], d[c + 4 * step], d[c + 5 * step])
        even, odd, even2, odd2 = d4 - four * d2, d3 - four * d1, d4 - d2, two * (d3 - d1)
        v[c] = four * d0 - five * d2 + d4
        v[c + step] = even + odd
        v[c + 2 * step] = even - odd
        v[c + 3 * step] = even2 + odd2
        v[c + 4 * step] = even2 - odd2
        v[c + 5 * step] = four * d1 - five * d3 + d5


@inline
def a_transposed_both(m, v, y, spare):
    """y = A' v A: the first m rows and columns of y."""
    for j in range(6):
        _a_transposed(m, v, spare, j * _C, _ROW)
    for i in range(m):
        _a_transposed(m, spare, y, i * _ROW, _C)


@inline
def _a_transposed(m, v, y, at, step):
    two, four, eight = v.dtype.type(2), v.dtype.type(4), v.dtype.type(8)
    for c in range(at, at + _C):
        v0, v1, v2, v3, v4, v5 = (v[c], v[c + step], v[c + 2 * step], v[c + 3 * step], v[c + 4 * step], v[c + 5 * step])
        sum1, difference1, sum2, difference2 = v1 + v2, v1 - v2, v3 + v4, v3 - v4
        y[c] = v0 + sum1 + sum2
        if m == 2:
            y[c + step] = difference1 + two * difference2 + v5
        else:
            y[c + step] = difference1 + two * difference2
            y[c + 2 * step] = sum1 + four * sum2
            y[c + 3 * step] = difference1 + eight * difference2 + v5


@inline
def a_both(m, gy, v, spare):
    """v = A gy A', of the first m rows and columns of gy."""
    for j in range(m):
        _a(m, gy, spare, j * _C, _ROW)
    for i in range(6):
        _a(m, spare, v, i * _ROW, _C)


@inline
def _a(m, g, v, at, step):
    two, four, eight = g.dtype.type(2), g.dtype.type(4), g.dtype.type(8)
    for c in range(at, at + _C):
        g0, g1 = g[c], g[c + step]
        if m == 2:
            even, odd, even2, odd2, last = g0, g1, g0, two * g1, g1
        else:
            g2, g3 = g[c + 2 * step], g[c + 3 * step]
            even, odd, even2, odd2, last = g0 + g2, g1 + g3, g0 + four * g2, two * g1 + eight * g3, g3
        v[c] = g0
        v[c + step] = even + odd
        v[c + 2 * step] = even - odd
        v[c + 3 * step] = even2 + odd2
        v[c + 4 * step] = even2 - odd2
        v[c + 5 * step] = last
