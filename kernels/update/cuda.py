"""The update of the parameters on a GPU: one pass, in which w and v are read and written once and g read once."""

import numpy as np

from ..gpu import Source, blocks

_SOURCE = Source(__file__, "update.cu")
_THREADS, _WARP = 256, 32
_PIECE = 4096  # elements that one warp adds up; a constant, for it decides on the order of the sum


def sgd(w, g, v, *, lr, momentum, weight_decay):
    _SOURCE.launch("sgd", blocks(w.size, _THREADS), _THREADS, w, g, v, np.int64(w.size), float(lr), float(momentum),
                   float(weight_decay), real=w.dtype)


def sum_of_squares(g, total, *, scratch):
    (of_pieces,) = scratch(*_of_pieces(g))
    _SOURCE.launch("squares", blocks(len(of_pieces), _THREADS // _WARP), _THREADS, g, of_pieces, np.int64(g.size),
                   _PIECE, real=g.dtype)
    _SOURCE.launch("finish", 1, _WARP, of_pieces, total, np.int64(len(of_pieces)), real=g.dtype)


def _of_pieces(g):
    return (((blocks(g.size, _PIECE),), np.float64),)
