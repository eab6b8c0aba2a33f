"""The parts of max-pooling that work on one pixel (C channels side by side) or one axis: shared by ``cpu.py`` and by
the kernel that normalises and pools at once."""

import numpy as np

from ..jit import inline
from ..runs import clear, run


@inline
def largest(pixels, at, line, rows, columns, here, step, best, place):
    """The largest numbers of a window, channel by channel, and their places.

    The window begins with element ``at`` of ``pixels``; its rows are ``line`` elements apart, and behind the last
    element comes the first again (a ring of rows).  The place of pixel (r, s) is here + r*step + s."""
    below = _below(pixels, at, line)
    starts = at, below, _below(pixels, below, line)
    if rows == 3 and columns == 3:
        _three_by_three(pixels, starts, here, step, best, place)
    elif rows == 3 and columns == 2:
        _three_by_two(pixels, starts, here, step, best, place)
    elif rows == 2 and columns == 3:
        _two_by_three(pixels, starts, here, step, best, place)
    elif rows == 2 and columns == 2:
        _two_by_two(pixels, starts, here, step, best, place)
    else:
        _first_place(run(pixels, at, best.size), place.dtype.type(here), best, place)
        for r in range(rows):
            _next_places(pixels, at, columns, here + r * step, best, place)
            at = _below(pixels, at, line)


@inline
def _below(pixels, at, line):
    at += line
    return at if at < pixels.size else at - pixels.size


def _of(rows, columns):
    """Made for each size: so all pixels meet in registers, where places have as many bits as numbers."""
    @inline
    def all_at_once(pixels, starts, here, step, best, place):
        C = best.size
        (a0, a1, a2, at0, at1, at2), (b0, b1, b2, bt0, bt1, bt2), (c0, c1, c2, ct0, ct1, ct2) = (
            _row(pixels, starts[0], C, here), _row(pixels, starts[1], C, here + step),
            _row(pixels, starts[2], C, here + 2 * step))
        for i in range(C):
            value, chosen = _larger(a1[i], at1, a0[i], at0)
            if columns > 2:
                value, chosen = _larger(a2[i], at2, value, chosen)
            value, chosen = _larger(b0[i], bt0, value, chosen)
            value, chosen = _larger(b1[i], bt1, value, chosen)
            if columns > 2:
                value, chosen = _larger(b2[i], bt2, value, chosen)
            if rows > 2:
                value, chosen = _larger(c0[i], ct0, value, chosen)
                value, chosen = _larger(c1[i], ct1, value, chosen)
                if columns > 2:
                    value, chosen = _larger(c2[i], ct2, value, chosen)
            best[i], place[i] = value, chosen
    return all_at_once


@inline
def _row(pixels, at, C, here):
    """Three pixels side by side in memory, and their places."""
    return (run(pixels, at, C), run(pixels, at + C, C), run(pixels, at + 2 * C, C),
            np.int32(here), np.int32(here + 1), np.int32(here + 2))


_three_by_three, _three_by_two, _two_by_three, _two_by_two = _of(3, 3), _of(3, 2), _of(2, 3), _of(2, 2)


@inline
def _first_place(pixel, here, best, place):
    """Begin a window of another size with this pixel, at its place ``here``."""
    for c in range(best.size):
        best[c] = pixel[c]
    for c in range(best.size):
        place[c] = here


@inline
def _next_places(pixels, at, count, here, best, place):
    """Go on with ``count`` pixels side by side in memory, from element ``at`` of ``pixels`` and place ``here`` on."""
    C = best.size
    for s in range(count):
        pixel, other = run(pixels, at + s * C, C), place.dtype.type(here + s)
        for c in range(C):
            best[c], place[c] = _larger(pixel[c], other, best[c], place[c])


@inline
def _larger(candidate, here, best, place):
    """Strictly greater wins, so a tie keeps the first; NaN beats all, and nothing beats NaN."""
    wins = (not candidate <= best) & (best == best)  # "not <=": also where the candidate is NaN
    return candidate if wins else best, here if wins else place


@inline
def windows_over(position, kernel, stride, pad, outputs):
    """The outputs whose windows cover this input row (or column): from, to (exclusive)."""
    return max(0, -((kernel - 1 - position - pad) // stride)), min(outputs, (position + pad) // stride + 1)


@inline
def gather_row(gy, index, n, h, W, R, S, stride_h, stride_w, pad_h, pad_w, target, at):
    """The W pixels of ``target`` from element ``at`` on = the gradient that the windows of image n send to its input
    row h, added up in a fixed order.

    Each pixel is written once: its terms meet in a register.  Windows that overlap by up to one stride, all that
    networks have, send a pixel one, two or four terms; others go the long way."""
    _, P, Q, C = gy.shape
    p0, p1 = windows_over(h, R, stride_h, pad_h, P)
    q0 = q1 = 0
    for w in range(W):
        while q1 < Q and q1 * stride_w <= w + pad_w:  # the next window begins
            q1 += 1
        while q0 < q1 and q0 * stride_w + S <= w + pad_w:  # the oldest has ended
            q0 += 1
        pixel = run(target, at + w * C, C)
        count = (p1 - p0) * (q1 - q0) if p1 > p0 else 0
        if count == 0:
            clear(pixel)
            continue
        first = _term(gy, index, n, h + pad_h, w + pad_w, p0, q0, S, stride_h, stride_w)
        last = _term(gy, index, n, h + pad_h, w + pad_w, p1 - 1, q1 - 1, S, stride_h, stride_w)
        if count == 1:
            _one(first, pixel)
        elif count == 2:
            _two(first, last, pixel)
        elif p1 - p0 == 2 and q1 - q0 == 2:
            _four(first, _term(gy, index, n, h + pad_h, w + pad_w, p0, q1 - 1, S, stride_h, stride_w),
                  _term(gy, index, n, h + pad_h, w + pad_w, p1 - 1, q0, S, stride_h, stride_w), last, pixel)
        else:
            clear(pixel)
            for p in range(p0, p1):
                for q in range(q0, q1):
                    _add(_term(gy, index, n, h + pad_h, w + pad_w, p, q, S, stride_h, stride_w), pixel)


@inline
def _term(gy, index, n, h, w, p, q, S, stride_h, stride_w):
    """The gradient of output (p, q), the places it chose, and the place of pixel (h, w) of the padded image."""
    _, P, Q, C = gy.shape
    at = ((n * P + p) * Q + q) * C
    here = (h - p * stride_h) * S + w - q * stride_w
    return run(gy, at, C), run(index, at, C), index.dtype.type(here)


@inline
def _chosen(term, c):
    g, place, here = term
    return g[c] if place[c] == here else g.dtype.type(0)


@inline
def _one(a, pixel):
    for c in range(pixel.size):
        pixel[c] = _chosen(a, c)


@inline
def _two(a, b, pixel):
    for c in range(pixel.size):
        pixel[c] = _chosen(a, c) + _chosen(b, c)


@inline
def _four(a, b, c, d, pixel):
    for i in range(pixel.size):
        pixel[i] = _chosen(a, i) + _chosen(b, i) + _chosen(c, i) + _chosen(d, i)


@inline
def _add(a, pixel):
    for c in range(pixel.size):
        pixel[c] += _chosen(a, c)
