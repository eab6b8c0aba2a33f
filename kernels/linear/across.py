"""gx = gy w: a sum of rows of w, each times a number of gy.  Rows that count for no image are not read.

With few images the pass takes as long as memory takes to bring w.  But a neuron whose gradient is 0 needs no weights,
and behind a ReLU about half of them are like that (behind dropout, half of the rest).

The forward pass can have that, too.  y = x w' is a sum of *columns* of w, those of inputs that are not 0.  A column is
no run of memory; but under ``no_grad`` the weights stay, so that it pays to keep them transposed as well.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..runs import copy, run, where
from ..scratch import own
from ..transpose import transpose
from .packing import pack_transposed

_DOWN = 16  # rows of the matrix that are taken at a time: as many runs of memory as a core can follow
_TILES = 4  # tiles of images: so many find three times as many rows in the caches worth while
_FEW = 8  # images, of more hardly a number is 0 for all
_SQUARE = 64  # numbers: the matrix is transposed in squares of so many rows and columns


def product(factors, y, matrix, result, scratch):
    """result[n, c] = the sum over k of factors[n, k] matrix[k, c].

    A factor counts as 0 where y, unless it is None, is not positive.  A row of the matrix whose factors are all 0 is
    left out, if the images are few: what is infinite in it, or NaN, is not seen."""
    best, item, (K, C), N = isa.chosen(), factors.itemsize, matrix.shape, len(factors)
    tall = tile.height(N)
    vectors = best.tile_vectors(tall)  # of a few rows: so each run of memory is longer
    tiles, lacunary = -(-N // tall), N <= min(_FEW, best.rows)
    # The result is summed in panels because its own rows may be a multiple of 4096 bytes apart, and then all want one
    # place of the first cache.
    packed, sums, places = scratch(((tiles * tall * K,), factors.dtype), ((N * best.padded(C, item),), factors.dtype),
                                   ((K if lacunary else 0,), np.int64))
    if lacunary:
        count = _pack_nonzero(factors, y, packed, places, C)
    else:
        count = K
        pack_transposed(factors, y, packed, tall, tiles * tall)
    wide = vectors * best.lanes(item)
    span = -(-C // (numba.get_num_threads() * wide)) * wide  # long runs of each row: memory likes them
    _product(packed, places, count, matrix, result, sums, span, _DOWN if tiles < _TILES else 3 * _DOWN, tall,
             vectors, best.lanes(item), tile.address("panel", item, vectors), tile.address("panel", item, 1))


@inline
def _pack_nonzero(factors, y, packed, places, pitch):
    """packed[i, n]: the factors of the i-th row that counts, which begins at places[i].  Returns how many there are."""
    N, K = factors.shape
    count = 0
    for k in range(K):
        counts = False
        for n in range(N):
            value = factors[n, k] if y is None or y[n, k] > 0 else 0
            packed[count * N + n] = value
            counts = counts or value != 0
        if counts:
            places[count] = k * pitch
            count += 1
    return count


@jit
def _product(packed, places, count, matrix, result, sums, span, depth, tall, vectors, lanes, wide_tile, narrow_tile):
    """Of ``depth`` rows of the matrix at a time, those at ``places`` or, if there are none, all; for ``span`` of c."""
    (_, C), N, wide = matrix.shape, len(result), vectors * lanes
    padded = (C + lanes - 1) // lanes * lanes
    for task in prange((padded + span - 1) // span):
        begin, end = task * span, min((task + 1) * span, padded)
        whole = min(end, C)  # from there on the last vector would reach into the next row
        zero, nothing, one_by_one = np.zeros(1, np.int64), np.zeros(wide, matrix.dtype), np.arange(depth) * tall
        last = np.zeros(depth * lanes, matrix.dtype)
        for k0 in range(0, max(1, count), depth):
            steps, first = min(depth, count - k0), begin
            while first < end:
                width = wide if first + wide <= whole else lanes
                lines, step, taps, deep = where(matrix, k0 * C + first), C, 1, steps
                factors, tap = where(zero, 0), where(zero, 0)
                if first + width > C:
                    for k in range(steps):
                        row = places[k0 + k] if places.size else (k0 + k) * C
                        copy(run(last, k * width, C - first), run(matrix, row + first, C - first))
                    lines, step = where(last, 0), width
                elif places.size:
                    lines, taps, deep = where(matrix, first), steps, 1
                    factors, tap = where(one_by_one, 0), where(places, k0)
                for n in range(0, N, tall):
                    target = where(sums, first * N + n * width)
                    init, init_step = (target, width) if k0 else (where(nothing, 0), 0)
                    tile.call(wide_tile if width == wide else narrow_tile,
                              (min(tall, N - n), where(packed, n * count + k0 * tall), factors, tall,
                               lines, tap, step, taps, deep, init, init_step, target, width))
                first += width
        first = begin
        while first < end:
            width = wide if first + wide <= whole else lanes
            for n in range(N):
                valid = min(width, C - first)
                copy(run(result, n * C + first, valid), run(sums, first * N + n * width, valid))
            first += width


def pays(x, weight):
    """Whether y = x w' had better be made by :func:`product` of the transposed weights: they come from memory, and a
    quarter of them at least is not needed."""
    return (len(x) <= min(_FEW, isa.chosen().rows) and weight.nbytes >= tile.LARGE
            and 4 * np.count_nonzero(x.any(axis=0)) <= 3 * x.shape[1])


def turned(weight, kept):
    """The transposed weights, made at the first call and kept; None if one of them is infinite or NaN, for then no
    input may be left out."""
    if "turned" not in kept:
        made = own(weight.shape[::-1], weight.dtype)
        kept["turned"] = None if _turn(weight, made) else made
    return kept["turned"]


@jit
def _turn(weight, target):
    """target = weight'.  Returns how many of its squares hold a number that is not finite."""
    K, C = weight.shape
    across, wrong = (C + _SQUARE - 1) // _SQUARE, 0
    for task in prange((K + _SQUARE - 1) // _SQUARE * across):
        k, c = task // across * _SQUARE, task % across * _SQUARE
        height, width = min(_SQUARE, K - k), min(_SQUARE, C - c)
        transpose(target, c * K + k, K, weight, k * C + c, C, height, width)
        finite = True
        for i in range(height):
            for j in range(width):
                finite = finite and np.isfinite(weight[k + i, c + j])
        wrong += not finite
    return wrong
