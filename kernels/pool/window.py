"""The parts of max-pooling that work on one pixel (C channels side by side) or one axis: shared by ``cpu.py`` and by
the kernel that normalises and pools at once."""

from ..jit import inline


@inline
def first_place(pixel, here, best, place):
    """Begin a window with this pixel, at its place ``here``."""
    for c in range(best.size):
        best[c] = pixel[c]
    for c in range(best.size):
        place[c] = here


@inline
def next_place(pixel, here, best, place):
    """Go on with the next: strictly greater, so a tie keeps the first; NaN beats all, and nothing beats NaN."""
    for c in range(best.size):
        wins = (not pixel[c] <= best[c]) & (best[c] == best[c])  # "not <=": also where pixel is NaN
        best[c] = pixel[c] if wins else best[c]
        place[c] = here if wins else place[c]


@inline
def add_chosen(g, place, here, target):
    """Add the gradient of those channels whose window chose the place ``here``."""
    for c in range(target.size):
        target[c] += g[c] if place[c] == here else 0


@inline
def windows_over(position, kernel, stride, pad, outputs):
    """The outputs whose windows cover this input row (or column): from, to (exclusive)."""
    return max(0, -((kernel - 1 - position - pad) // stride)), min(outputs, (position + pad) // stride + 1)


@inline
def gather_row(gy, index, n, h, R, S, stride_h, stride_w, pad_h, pad_w, row):
    """row (W, C) = the gradient that the windows of image n send to its input row h, added up in a fixed order."""
    W, P, Q = row.shape[0], gy.shape[1], gy.shape[2]
    flat = row.reshape(-1)
    for i in range(flat.size):
        flat[i] = 0
    p0, p1 = windows_over(h, R, stride_h, pad_h, P)
    for p in range(p0, p1):
        r = h + pad_h - p * stride_h
        for q in range(Q):
            left = q * stride_w - pad_w
            for s in range(max(0, -left), min(S, W - left)):
                add_chosen(gy[n, p, q], index[n, p, q], index.dtype.type(r * S + s), row[left + s])
