"""The small factor of a linear product as panels: some columns (or rows) side by side, as a tile takes them."""

from ..jit import jit, prange


@jit
def pack_transposed(x, y, panels, wide, padded):
    """Panels of rows of x (N, C): panel p holds, for each c in turn, x[p*wide + i, c] of all its i; 0 beyond the last
    row and, unless y is None, where y is not positive.  The last panel may be narrower: all are ``padded`` wide."""
    N, C = x.shape
    parts, chunk = (padded + wide - 1) // wide, 64
    chunks = (C + chunk - 1) // chunk
    for task in prange(parts * chunks):
        first, c0 = task // chunks * wide, task % chunks * chunk
        width = min(wide, padded - first)
        for i in range(width):
            n = first + i
            for c in range(c0, min(c0 + chunk, C)):
                counts = n < N and (y is None or y[n, c] > 0)
                panels[first * C + c * width + i] = x[n, c] if counts else 0
