"""Sums and maxima along axes, on a GPU.  ``reduce.cu`` says in which order."""

import math

import numpy as np

from ..gpu import Source, blocks
from ..scratch import deal, nbytes
from ..strides import address, join, padded, steps_of

_SOURCE = Source(__file__, "reduce.cu")
_PIECE = 4096  # elements of a sum that one warp adds up; a constant, for it decides on the order
_WARP, _THREADS = 32, 256
_AXES = 4


def sum(x, y, *, axes, scratch):
    _reduce("Sum", x, None, y, axes, *deal(scratch, *_of_pieces(x, y)))


def max(x, y, *, axes, scratch):
    _reduce("Max", x, None, y, axes, *deal(scratch, *_of_pieces(x, y)))


def max_backward(x, y, gy, gx, *, axes, scratch):
    counts, of_pieces = deal(scratch, (y.shape, y.dtype), *_of_pieces(x, y))
    _reduce("Ties", x, y, counts, axes, of_pieces)
    kept, reduced, dense = _split(x, axes, gy, gx)
    (n, of_x, of_gy, of_gx), (m, along_x, _, along_gx) = kept, reduced
    _SOURCE.launch("share", blocks(x.size, _THREADS), _THREADS, address(x), y, counts, address(gy), address(gx),
                   *_axes(n), *_steps(of_x), *_steps(of_gy), *_steps(of_gx),
                   *_axes(m), *_steps(along_x), *_steps(along_gx), dense, real=x.dtype, OPERATION="Ties")


def sum_workspace(x, y, *, axes):
    return nbytes(*_of_pieces(x, y))


def max_workspace(x, y, *, axes):
    return nbytes(*_of_pieces(x, y))


def max_backward_workspace(x, y, gy, gx, *, axes):
    return nbytes((y.shape, y.dtype), *_of_pieces(x, y))


def _pieces(x, y):
    return blocks(x.size // y.size, _PIECE) if y.size else 1


def _of_pieces(x, y):
    """The results of an output's pieces, if it has several."""
    pieces = _pieces(x, y)
    return [((y.size, pieces), np.float64)] if pieces > 1 else [((0,), np.float64)]


def _reduce(operation, x, maxima, y, axes, of_pieces):
    if y.size == 0:
        return
    (n, kept), (m, along), dense = _split(x, axes)
    pieces = _pieces(x, y)
    partial = of_pieces if pieces > 1 else None
    if dense:
        kernel, grid, block = "rows", blocks(y.size * pieces, _THREADS // _WARP), _THREADS
    else:
        kernel, grid, block = "columns", blocks(y.size, _WARP) * pieces, (_WARP, _WARP)
    _SOURCE.launch(kernel, grid, block, address(x), y, partial, maxima, *_axes(n), *_steps(kept), *_axes(m),
                   *_steps(along), _PIECE, pieces, real=x.dtype, OPERATION=operation)
    if partial is not None:
        _SOURCE.launch("finish", blocks(y.size, _THREADS // _WARP), _THREADS, partial, y, np.int64(y.size), pieces,
                       real=x.dtype, OPERATION=operation)


def _split(x, axes, *others):
    """((sizes, steps of x, of each of the others) of the kept axes, the same of the reduced axes, whether neighbours
    in memory are neighbours along a reduced axis)."""
    steps = [steps_of(a, x.shape) for a in (x, *others)]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    walks = [join(*([along[i] for i in group] for along in (x.shape, *steps))) for group in (kept, list(axes))]
    nearest = [min((abs(step) for step in walk[1]), default=math.inf) for walk in walks]
    return *walks, nearest[1] <= nearest[0]


def _axes(sizes):
    """How many there are in all, and the sizes of the three inner axes."""
    return np.int64(math.prod(sizes)), *padded(sizes[1:] if len(sizes) == _AXES else sizes, _AXES - 1, 1)


def _steps(steps):
    return padded(steps, _AXES, 0)
