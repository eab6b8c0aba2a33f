"""The linear layer on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses
one."""

from .. import ladder
from ..gpu import Source, blocks
from ..product import SQUARES, threads, tile

_FORWARD = {rung: Source(__file__, f"{rung}.cu") for rung in ladder.RUNGS["linear.forward"]}
_NAIVE = _FORWARD["naive"]
_INPUT = Source(__file__, "backward_input.cu")
_WEIGHT = Source(__file__, "backward_weight.cu")
_THREADS = 256


def forward(x, weight, bias, y, *, relu=False):
    rung = _rung("linear.forward", weight)
    arguments = x, weight, bias, y, relu, *_shape(x, weight)
    if rung in SQUARES:
        side, count = SQUARES[rung]
        _FORWARD[rung].launch("forward", blocks(len(y), side) * blocks(y.shape[1], side), count, *arguments)
    else:
        _launch(_FORWARD[rung], "forward", y, *arguments)


def backward_input(gy, weight, gx, y=None):
    source = _NAIVE if _rung("linear.backward_input", weight) == "naive" else _INPUT
    _launch(source, "backward_input", gx, gy, weight, gx, y, *_shape(gx, weight),
            MASKED=int(y is not None), VECTOR=_vector(weight))


def backward_weight(x, gy, gw, gb, y=None):
    source = _NAIVE if _rung("linear.backward_weight", gw) == "naive" else _WEIGHT
    _launch(source, "backward_weight", gw, x, gy, gw, y, *_shape(x, gw),
            MASKED=int(y is not None), VECTOR=_vector(x, gy, *(() if y is None else (y,))))
    if gb is not None:
        _NAIVE.launch("bias_gradient", blocks(len(gb), _THREADS), _THREADS, gy, y, gb, *gy.shape, real=x.dtype)


def _rung(kernel, weight):
    """The chosen rung, but the first one for rows so long that an int does not count the elements of a tile of them."""
    return ladder.chosen(kernel, weight.dtype) if max(weight.shape) < 2 ** 24 else "naive"


def _launch(source, kernel, result, *arguments, **macros):
    """A thread for each element of ``result``, or a block for each of its tiles, compiled with ``macros``."""
    if source is _NAIVE:
        source.launch(kernel, blocks(result.size, _THREADS), _THREADS, *arguments, real=result.dtype)
        return
    rows, columns = tile(*result.shape)
    source.launch(kernel, blocks(len(result), rows) * blocks(result.shape[1], columns), threads((rows, columns)),
                  *arguments, ROWS=rows, COLUMNS=columns, **macros)


def _vector(*matrices):
    """How many numbers of a row can be loaded at once: four, where every row of each is aligned to them."""
    return 4 if all(m.shape[1] % 4 == 0 and m.data.ptr % 16 == 0 for m in matrices) else 1


def _shape(x, weight):
    """N, C, K."""
    return *x.shape, len(weight)
