"""The parts of max-pooling that work on one pixel (C channels side by side) or one axis: shared by ``cpu.py`` and by
the kernel that normalises and pools at once."""

import numpy as np

from ..jit import apart, inline
from ..runs import clear, copy, expect, run


@inline
def largest(pixels, at, line, rows, columns, here, step, best, place):
    """The largest numbers of a window, channel by channel, and their places.

    The window begins with element ``at`` of ``pixels``; its rows are ``line`` elements apart, and behind the last
    element comes the first again (a ring of rows).  The place of pixel (r, s) is here + r*step + s."""
    if rows <= 3 and columns <= 3:
        nan = _at_once(pixels, at, line, rows, columns, here, step, best, place)
    else:
        nan = _in_threes(pixels, at, line, rows, columns, here, step, best, place)
    if nan:
        _put_nan(pixels, at, line, rows, columns, here, step, best, place)


@inline
def largest_row(pixels, at, W, rows, first, S, stride, pad, y, index, row, ahead):
    """The largest of each window of a row of outputs, over ``rows`` rows of W pixels from element ``at`` on, the first
    of which is at place ``first``.  What windows ``ahead`` rows further down take, besides, is asked for."""
    _, _, Q, C = y.shape
    for q in range(Q):
        left = q * stride - pad
        s0, s1 = max(0, -left), min(S, W - left)
        for r in range(max(rows, ahead), rows + ahead):
            expect(pixels, at + (r * W + left + s0) * C, min(S, stride) * C)
        largest(pixels, at + (left + s0) * C, W * C, rows, s1 - s0, first + s0, S, run(y, (row * Q + q) * C, C),
                run(index, (row * Q + q) * C, C))


@inline
def _below(pixels, at, line):
    at += line
    return at if at < pixels.size else at - pixels.size


@inline
def _at_once(pixels, at, line, rows, columns, here, step, best, place):
    """The largest of a window of up to 3 x 3 pixels, NaN counting as less than all others, but for the first pixel; and
    whether there is any."""
    below = _below(pixels, at, line) if rows > 1 else at  # of fewer, the last one comes again: a tie keeps the first
    last = _below(pixels, below, line) if rows > 2 else below
    if rows < 3 and columns < 3:
        return _of_four(pixels, at, below, last, columns - 1, here, step, best, place)
    return _of_nine(pixels, at, below, last, columns - 1, here, step, best, place)


def _of(side):
    """Made for two sizes: so all pixels meet in registers.

    Places are numbers of the pixels' kind there.  As integers the compiler would make them as narrow as they are in
    memory, bytes, and between those AVX2 chooses by masks that must first be packed, four instructions for each
    pixel."""
    @apart
    def all_at_once(pixels, first, second, third, right, here, step, best, place):
        C, nan = best.size, False  # in the first pixel it stays: nothing is larger
        (a0, a1, a2, at0, at1, at2), (b0, b1, b2, bt0, bt1, bt2), (c0, c1, c2, ct0, ct1, ct2) = (
            _row(pixels, first, C, right, here), _row(pixels, second, C, right, here + step),
            _row(pixels, third, C, right, here + 2 * step))
        for i in range(C):
            value, chosen = _larger(a1[i], at1, a0[i], at0)
            if side > 2:
                value, chosen = _larger(a2[i], at2, value, chosen)
            value, chosen = _larger(b0[i], bt0, value, chosen)
            value, chosen = _larger(b1[i], bt1, value, chosen)
            nan |= np.isnan(a1[i]) | np.isnan(b0[i]) | np.isnan(b1[i])
            if side > 2:
                value, chosen = _larger(b2[i], bt2, value, chosen)
                value, chosen = _larger(c0[i], ct0, value, chosen)
                value, chosen = _larger(c1[i], ct1, value, chosen)
                value, chosen = _larger(c2[i], ct2, value, chosen)
                nan |= np.isnan(a2[i]) | np.isnan(b2[i]) | np.isnan(c0[i]) | np.isnan(c1[i]) | np.isnan(c2[i])
            best[i], place[i] = value, np.int32(chosen)
        return nan
    return all_at_once


@inline
def _row(pixels, at, C, right, here):
    """Three pixels side by side in memory, none further than ``right`` from the first, and their places."""
    number = pixels.dtype.type
    return (run(pixels, at, C), run(pixels, at + min(1, right) * C, C), run(pixels, at + right * C, C),
            number(here), number(here) + number(1), number(here) + number(2))


_of_four, _of_nine = _of(2), _of(3)


@inline
def _in_threes(pixels, at, line, rows, columns, here, step, best, place):
    """The same of any window: three pixels, at most, of one of its rows at a time."""
    C, nan = best.size, False
    copy(best, run(pixels, at, C))
    for c in range(C):
        place[c] = here
    for r in range(rows):
        for s in range(0, columns, 3):
            nan |= _three(pixels, at + s * C, min(2, columns - 1 - s), here + r * step + s, best, place)
        at = _below(pixels, at, line)
    return nan


@apart
def _three(pixels, at, right, here, best, place):
    C, nan, number = best.size, False, pixels.dtype.type
    a, b, c, at_a, at_b, at_c = _row(pixels, at, C, right, here)
    for i in range(C):
        value, chosen = _larger(a[i], at_a, best[i], number(place[i]))
        value, chosen = _larger(b[i], at_b, value, chosen)
        value, chosen = _larger(c[i], at_c, value, chosen)
        nan |= np.isnan(a[i]) | np.isnan(b[i]) | np.isnan(c[i])
        best[i], place[i] = value, np.int32(chosen)
    return nan


@inline
def _put_nan(pixels, at, line, rows, columns, here, step, best, place):
    """Where the best is not NaN, the first pixel of the window that is."""
    C = best.size
    for r in range(rows):
        for s in range(columns):
            pixel = run(pixels, at + s * C, C)
            for c in range(C):
                if np.isnan(pixel[c]) and not np.isnan(best[c]):
                    best[c], place[c] = pixel[c], here + r * step + s
        at = _below(pixels, at, line)


@inline
def _larger(candidate, here, best, place):
    """Strictly greater wins, so a tie keeps the first."""
    wins = candidate > best
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


@apart
def _one(a, pixel):
    for c in range(pixel.size):
        pixel[c] = _chosen(a, c)


@apart
def _two(a, b, pixel):
    for c in range(pixel.size):
        pixel[c] = _chosen(a, c) + _chosen(b, c)


@apart
def _four(a, b, c, d, pixel):
    for i in range(pixel.size):
        pixel[i] = _chosen(a, i) + _chosen(b, i) + _chosen(c, i) + _chosen(d, i)


@apart
def _add(a, pixel):
    for c in range(pixel.size):
        pixel[c] += _chosen(a, c)
