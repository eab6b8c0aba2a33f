"""The linear layer on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses
one."""

from ..gpu import Source, blocks, ladder
from ..gpu.product import DEPTH, SQUARES, Cut, add_up

_FORWARD = {rung: Source(__file__, f"{rung}.cu") for rung in ladder.RUNGS["linear.forward"]}
_NAIVE = _FORWARD["naive"]
_INPUT = Source(__file__, "backward_input.cu")
_WEIGHT = Source(__file__, "backward_weight.cu")
_THREADS = 256


def forward(x, weight, bias, y, *, relu=False, kept=None, scratch):
    rung = _rung("linear.forward", weight)
    shape = *x.shape, len(weight)
    if rung == "naive":
        _one_per_thread("forward", y, x, weight, bias, y, relu, *shape)
    elif rung in SQUARES:
        side, count = SQUARES[rung]
        grid = blocks(len(y), side) * blocks(y.shape[1], side)
        _FORWARD[rung].launch("forward", grid, count, x, weight, bias, y, relu, *shape)
    else:
        cut = _forward_cut(x, weight)
        parts, = scratch(cut.plan(y))
        whole = not len(parts)
        _product(_FORWARD[rung], "forward", cut, x, weight, bias if whole else None, y if whole else parts,
                 relu and whole, cut.per_part // DEPTH, *shape)
        if not whole:
            add_up(parts, y, bias, relu)


def _forward_cut(x, weight):
    return Cut(rows=len(x), columns=len(weight), depth=x.shape[1])


def backward_input(gy, weight, gx, y=None, *, scratch):
    shape = *gx.shape, len(weight)
    if _rung("linear.backward_input", weight) == "naive":
        _one_per_thread("backward_input", gx, gy, weight, gx, y, *shape)
        return
    cut = _input_cut(gy, gx)
    parts, = scratch(cut.plan(gx))
    _product(_INPUT, "backward_input", cut, gy, weight, parts if len(parts) else gx, y, cut.per_part // DEPTH, *shape,
             MASKED=int(y is not None), VECTOR=_vector(weight))
    if len(parts):
        add_up(parts, gx)


def _input_cut(gy, gx):
    return Cut(rows=len(gx), columns=gx.shape[1], depth=gy.shape[1])


def backward_weight(x, gy, gw, gb, y=None, *, scratch):
    shape = *x.shape, len(gw)
    if _rung("linear.backward_weight", gw) == "naive":
        _one_per_thread("backward_weight", gw, x, gy, gw, y, *shape)
    else:
        cut = _weight_cut(x, gw)
        parts, = scratch(cut.plan(gw))
        _product(_WEIGHT, "backward_weight", cut, x, gy, parts if len(parts) else gw, y, cut.per_part // DEPTH, *shape,
                 MASKED=int(y is not None), VECTOR=_vector(x, gy, *(() if y is None else (y,))))
        if len(parts):
            add_up(parts, gw)
    if gb is not None:
        _one_per_thread("bias_gradient", gb, gy, y, gb, *gy.shape)


def _weight_cut(x, gw):
    return Cut(rows=len(gw), columns=gw.shape[1], depth=len(x))


def _rung(kernel, weight):
    """The chosen rung, but the first one for rows so long that an int does not count the elements of a tile of them."""
    return ladder.chosen(kernel, weight.dtype) if max(weight.shape) < 2 ** 24 else "naive"


def _one_per_thread(kernel, result, *arguments):
    _NAIVE.launch(kernel, blocks(result.size, _THREADS), _THREADS, *arguments, real=result.dtype)


def _product(source, kernel, cut, *arguments, **macros):
    if cut.rows * cut.columns == 0:
        return  # a matrix without rows or columns has no tiles
    rows, columns = cut.tile
    grid = blocks(cut.rows, rows) * blocks(cut.columns, columns), 1, cut.parts
    source.launch(kernel, grid, cut.threads, *arguments, ROWS=rows, COLUMNS=columns, **macros)


def _vector(*matrices):
    """How many numbers of a row can be loaded at once: four, where every row of each is aligned to them."""
    return 4 if all(m.shape[1] % 4 == 0 and m.data.ptr % 16 == 0 for m in matrices) else 1
