"""gx = gy w for few images: a sum of rows of w, each times a number of gy.  Rows that count for no image are not read.

The pass takes as long as memory takes to bring w.  But a neuron whose gradient is 0 needs no weights, and behind a ReLU
about half of them are like that (behind dropout, half of the rest).

The forward pass can have that, too.  y = x w' is a sum of *columns* of w, those of inputs that are not 0.  A column is
no run of memory; but under ``no_grad`` the weights stay, so that it pays to keep them transposed as well.  The sums are
the same to the last bit, for a multiply-add with 0 changes nothing, and the others come in the dot tile's order: its
vector of partial sums has one for each remainder of c by V, and so here the inputs go by remainders.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import inline, jit, prange
from ..runs import add, copy, run, where
from ..scratch import own
from ..transpose import transpose_all
from ..update.cpu import sum_of_squares

_DOWN = 8  # rows of the matrix that are taken at a time: as many runs of memory as a core can follow; twice as many if
# a vector is a whole line, for then a tile takes more of each
_MOST = 8  # images: of more, hardly a number is 0 for all, and a dot tile has registers for a row or two
_MOST_BACKWARDS = 4  # of more, ``blocks.py`` has read all rows before the few that count are found
_PASSES = 20  # that take about as long as it takes to transpose the weights


def serves(images):
    """Whether they are so few for the input gradient."""
    return images <= _MOST_BACKWARDS


def few(images):
    """Whether they are for the forward pass: one dot tile."""
    return images <= min(_MOST, isa.chosen().rows)


def backward_input(gy, weight, gx, y, scratch):
    _product(gy, y, weight, gx, 1, len(weight), scratch)


def forward(x, weight, y, scratch):
    """y = x weight, for weights that are transposed: (C, K)."""
    lanes = isa.chosen().lanes(x.itemsize)
    whole = len(weight) // lanes * lanes  # inputs that fill the vectors of a dot tile
    _product(x, None, weight, y, lanes, whole, scratch)


def _product(factors, y, matrix, result, parts, whole, scratch):
    """result[n, c] = the sum over k < whole of factors[n, k] matrix[k, c], in partial sums for each remainder of k by
    ``parts``, a power of two.

    A factor counts as 0 where y, unless it is None, is not positive.  A row of the matrix whose factors are all 0 is
    left out: what is infinite in it, or NaN, is not seen."""
    best, item, (K, C), N = isa.chosen(), factors.itemsize, matrix.shape, len(factors)
    tall = tile.height(N)
    vectors = best.tile_vectors(tall)  # of a few rows: so each run of memory is longer
    # The result is summed in panels because its own rows may be a multiple of 4096 bytes apart, and then all want one
    # place of the first cache.
    packed, sums, places, ends = scratch(
        ((N * K,), factors.dtype), ((parts * N * best.padded(C, item),), factors.dtype), ((K,), np.int64),
        ((parts,), np.int64))
    _pack_nonzero(factors, y, packed, places, ends, whole, C)
    wide = vectors * best.lanes(item)
    span = -(-C // (numba.get_num_threads() * wide)) * wide  # long runs of each row: memory likes them
    down = 2 * _DOWN if best.fills_lines else _DOWN
    _sum_rows(packed, places, ends, factors, matrix, whole, result, sums, span, down, tall, vectors, best.lanes(item),
              tile.address("panel", item, vectors))


@inline
def _pack_nonzero(factors, y, packed, places, ends, whole, pitch):
    """packed[i, n]: the factors of the i-th row that counts, which begins at places[i].  Those of a partial sum are
    together, up to ``ends``.  They are so few numbers that one thread is soonest done."""
    count = 0
    for part in range(ends.size):
        for k in range(part, whole, ends.size):
            counts = False
            for n in range(len(factors)):
                value = factors[n, k] if y is None or y[n, k] > 0 else 0
                packed[count * len(factors) + n] = value
                counts = counts or value != 0
            if counts:
                places[count] = k * pitch
                count += 1
        ends[part] = count


@jit
def _sum_rows(packed, places, ends, factors, matrix, whole, result, sums, span, down, tall, vectors, lanes, panel_tile):
    """The product with the rows of the matrix at ``places``, ``down`` of them at a time, and those from ``whole`` on;
    for ``span`` of c."""
    (N, C), wide = result.shape, vectors * lanes
    padded = (C + lanes - 1) // lanes * lanes
    for task in prange((padded + span - 1) // span):
        begin, end = task * span, min((task + 1) * span, padded)
        nothing, last = np.zeros(wide, matrix.dtype), np.zeros(down * lanes, matrix.dtype)
        one_by_one, lines_of_last = np.arange(down) * N, np.arange(down) * lanes
        for part in range(ends.size):
            low, high = ends[part - 1] if part else 0, ends[part]
            for k0 in range(low, max(low + 1, high), down):
                steps, first = min(down, high - k0), begin
                while first < end:
                    width = wide if first + wide <= min(end, C) else lanes
                    lines, there = where(matrix, first), where(places, k0)
                    if first + width > C:  # this vector would reach into the next row
                        for k in range(steps):
                            copy(run(last, k * width, C - first), run(matrix, places[k0 + k] + first, C - first))
                        lines, there = where(last, 0), where(lines_of_last, 0)
                    for n in range(0, N, tall):
                        target = where(sums, part * N * padded + first * N + n * width)
                        init, init_step = (target, width) if k0 > low else (where(nothing, 0), 0)
                        tile.call(panel_tile, (min(tall, N - n), width // lanes, where(packed, k0 * N + n),
                                               where(one_by_one, 0), N, lines, there, width, steps, 1, init, init_step,
                                               target, width))
                    first += width
        parts, first, size = ends.size, begin, (end - begin) * N
        while parts > 1:  # as a dot tile adds up its lanes: half onto half, until one is left
            parts //= 2
            for part in range(parts):
                add(run(sums, part * N * padded + begin * N, size),
                    run(sums, (part + parts) * N * padded + begin * N, size))
        while first < end:
            width = wide if first + wide <= min(end, C) else lanes
            for n in range(N):
                valid = min(width, C - first)
                copy(run(result, n * C + first, valid), run(sums, first * N + n * width, valid))
            first += width
        for k in range(whole, len(matrix)):  # what fills no vector of a dot tile, that adds last
            for n in range(N):
                for c in range(begin, min(end, C)):
                    result[n, c] += factors[n, k] * matrix[k, c]


def pays(x, weight):
    """Whether :func:`forward` is quicker than reading the weights as they lie: they come from memory, and a quarter of
    them at least is not needed."""
    return (few(len(x)) and weight.nbytes >= tile.LARGE
            and 4 * np.count_nonzero(x.any(axis=0)) <= 3 * x.shape[1])


def transposed(weight, kept):
    """The transposed weights, if they are kept.  They are made when so many passes have asked for them as that costs;
    who comes with new weights each time gets None.  So he does if there is no memory for them, or if one is infinite or
    NaN, for then no input may be left out."""
    if "transposed" not in kept:
        kept["passes"] = kept.get("passes", 0) + 1
        if kept["passes"] < _PASSES:
            return None
        kept["transposed"] = _make(weight)
    return kept["transposed"]


def _make(weight):
    squares = np.empty(())
    sum_of_squares(weight, squares)
    if not np.isfinite(squares):
        return None
    try:
        made = own(weight.shape[::-1], weight.dtype)
    except MemoryError:
        return None
    transpose_all(weight[None], made[None])
    return made
