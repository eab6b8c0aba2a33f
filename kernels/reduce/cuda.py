"""Sums and maxima along axes, on a GPU.  ``reduce.cu`` says in which order."""

import math

import numpy as np

from ..elementwise import cuda as elementwise
from ..gpu import Source, blocks
from ..gpu.strides import address, join, padded, steps_of

_SOURCE = Source(__file__, "reduce.cu")
_PIECE = 4096  # elements of a sum that one warp adds up; a constant, for it decides on the order
_WARP, _THREADS = 32, 256
_AXES = 4


def sum(x, y, *, axes, scratch):
    _reduce("Sum", x, y, axes, scratch)


def max(x, y, *, axes, scratch):
    _reduce("Max", x, y, axes, scratch)


def max_backward(x, y, gy, gx, *, axes, scratch):
    counts, of_pieces, *copies = scratch((y.shape, y.dtype), _of_pieces(x, y), *_copies(axes, x, gy, gx))
    x, gy = _plain(copies, x, gy)
    _launch("Ties", x, y, counts, axes, of_pieces)
    kept, reduced, dense = _split(axes, x, gy, gx)
    (n, of_x, of_gy, of_gx), (m, along_x, _, along_gx) = kept, reduced
    _SOURCE.launch("share", blocks(x.size, _THREADS), _THREADS, address(x), y, counts, address(gy), address(gx),
                   *_axes(n), *_steps(of_x), *_steps(of_gy), *_steps(of_gx),
                   *_axes(m), *_steps(along_x), *_steps(along_gx), dense, real=x.dtype, OPERATION="Ties")


def _reduce(operation, x, y, axes, scratch):
    of_pieces, *copies = scratch(_of_pieces(x, y), *_copies(axes, x))
    (x,) = _plain(copies, x)
    _launch(operation, x, None, y, axes, of_pieces)


def _launch(operation, x, maxima, y, axes, of_pieces):
    if y.size == 0:
        return
    (n, kept), (m, along), dense = _split(axes, x)
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


def _pieces(x, y):
    return blocks(x.size // y.size, _PIECE) if y.size else 1


def _of_pieces(x, y):
    """The results of each output's pieces, where it has several: shape and dtype."""
    pieces = _pieces(x, y)
    return (y.size, pieces if pieces > 1 else 0), np.float64


def _split(axes, x, *others):
    """((sizes, steps of x, of each of the others) of the kept axes, the same of the reduced axes, whether neighbours
    in memory are neighbours along a reduced axis)."""
    steps = [steps_of(a, x.shape) for a in (x, *others)]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    walks = [join(*([along[i] for i in group] for along in (x.shape, *steps))) for group in (kept, sorted(axes))]
    nearest = [min((abs(step) for step in walk[1]), default=math.inf) for walk in walks]
    return *walks, nearest[1] <= nearest[0]


def _copies(axes, *arrays):
    """Shapes and dtypes of dense copies of the arrays that a kernel reads, if it cannot walk over them as they are: up
    to eight axes of dense arrays always join to four and four, those of a view need not."""
    *walks, _ = _split(axes, *arrays)
    if all(len(sizes) <= _AXES for sizes, *_ in walks):
        return []
    return [(a.shape, a.dtype) for a in arrays[:2]]


def _plain(copies, *arrays):
    for array, copy in zip(arrays, copies, strict=False):  # no copies, or one of each
        elementwise.copy(array, copy)
    return copies or arrays


def _axes(sizes):
    """How many there are in all, and the sizes of the three inner axes."""
    return np.int64(math.prod(sizes)), *padded(sizes[1:] if len(sizes) == _AXES else sizes, _AXES - 1, 1)


def _steps(steps):
    return padded(steps, _AXES, 0)
