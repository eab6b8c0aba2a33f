"""The register tile: the one loop under every matrix product of the CPU kernels.  ``kernels/TILE.md`` is its lesson.

A *tile* is a small block of a result, R rows x J vectors, that stays in registers while a whole sum of products runs
through it.  Compilers do not find this form by themselves, so its code is written out here as LLVM instructions, which
Numba compiles for the processor at hand.  There are six kinds.  Five differ in where the numbers of a step lie:

    gather   y[r, c] = init[r, c] + sum over t, k of  a[row[r] + tap[t] + k]     * b[t*depth + k, c]   (low <= t < high)
    even     y[r, c] = init[r, c] + sum over k of     a[r*step_a + k]            * b[k, c]
    panel    y[r, c] = init[r, c] + sum over t, k of  a[tap_a[t] + k*step_a + r] * b[tap_b[t] + k*step_b + c]
    sum      y[r, c] = (y[r, c] +) (sum over k of     a[k*step_a + r]            * b[k*step_b + c])
    dot      y[r, c] = y[r, c]    + sum over k of     a[r*step_a + k]            * b[c*step_b + k]

An even tile is a gather tile of one tap whose rows are equally far apart.  It needs an address for every seventh
row only, and so has a register left to ask for what lies behind its last row: the rows of the next tile, if they
follow.

A pair tile makes two lines of y of four such products, ``line`` numbers of a and ``depth`` lines of b apart:

    y[r, c] = init[c] + m1 + m2 + m0        y[below + r, c] = init[c] + m1 - m2 + m3
    m_i = sum over k of  a[i*line + r*step_a + k] * b[i*depth + k, c]

A gather, an even or a pair tile takes any number of ``vectors`` of columns: panel after panel of J = 2, each
``step_b`` behind the one before, whose lines follow each other, and a last panel of one vector.  It can apply a ReLU to
what it stores.  A panel or a sum tile takes J vectors, or one.  A sum tile adds what is there only at the end (unless
``fresh``), since short sums round better than a long one.  The y of a gather, a panel, a sum or a pair tile may
*stream*, go past the caches to memory: then it must lie on vector boundaries.

A dot tile has a vector of partial sums for each number of y, because both its factors lie along k: for products with
few columns, which would leave the lanes of the others empty.  It has R rows x J columns.

Each is a C function of addresses and of counts in elements.  ``address`` compiles one and tells where it is; ``call``
calls it from a Numba function.  A tile checks nothing: what it reads and writes is its caller's business.
"""

from functools import cache
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import isa
from .jit import inline
from .layout import LINE_BYTES
from .shapes import evenly
from .vectors import INT, Code


def _multiply(code, acc, a, b, columns):
    """One step: every row's number times every column vector, added to the accumulators."""
    column = [code.load(code.at(b, code.lanes * j)) for j in range(columns)]
    result = []
    for r in range(len(acc) // columns):
        row = code.splat(code.b.load(a(r)))
        result += [code.fma(row, column[j], acc[r * columns + j]) for j in range(columns)]
    return result


_AHEAD = 32  # steps: 450 cycles of a full tile, about as long as the third cache takes


def _expect_ahead(code, b, columns, steps=_AHEAD, cache=1):
    """A processor does that by itself, but not across the pages of memory.  A panel begins with a cache line."""
    for c in range(0, code.lanes * columns, max(code.lanes, LINE_BYTES // code.item)):
        code.expect(code.at(b, steps * code.lanes * columns + c), cache=cache)


def _each_panel(code, widest, vectors, b, step_b, init, y, product):
    """The product of the tile's rows with one panel after the other, for what a call costs is then paid once: with as
    many of the ``widest`` as there are, and with a narrow one if a vector is left."""
    width = code.lanes * widest

    def one(_, state):
        product(widest, *state)
        return [code.at(pointer, step) for pointer, step in zip(state, (step_b, width, width), strict=True)]

    rest = code.loop(code.b.sdiv(vectors, code.int(widest)), [code.numbers(address) for address in (b, init, y)], one)
    with code.when([code.b.srem(vectors, code.int(widest))], [1]):
        product(1, *rest)


def _begin(code, inits, columns):
    """The accumulators of rows that begin with what is there.  ``inits`` may be a generator, so that the loads of a row
    follow its address: all addresses at once find no room in the registers."""
    return [code.load(code.at(init, code.lanes * j)) for init in inits for j in range(columns)]


def _gather(code, rows, widest, args, streams):
    vectors, a, row, tap, low, high, depth, b, step_b, init, init_row, y, y_row, relu = args
    a, row, tap, init_row, y_row = code.numbers(a), *map(code.table, (row, tap, init_row, y_row))
    first_tap = code.at(tap, low)
    starts = [code.at(a, code.entry(row, r)) for r in range(rows)]

    def product(columns, b, init, y):
        acc = _begin(code, (code.at(init, code.entry(init_row, r)) for r in range(rows)), columns)
        targets = [code.at(y, code.entry(y_row, r)) for r in range(rows)]
        if not streams:
            code.expect_rows(targets, columns)

        def one_tap(t, state):
            def body(_, state):
                k, b, *acc = state
                _expect_ahead(code, b, columns)
                acc = _multiply(code, acc, lambda r: code.at(starts[r], k), b, columns)
                return [code.b.add(k, code.int(1)), code.at(b, code.lanes * columns), *acc]

            return code.loop(depth, [code.entry(first_tap, t), *state], body)[1:]

        skipped = code.b.mul(code.b.mul(low, depth), code.int(code.lanes * columns))
        _, *acc = code.loop(code.b.sub(high, low), [code.at(b, skipped), *acc], one_tap)
        _finish(code, acc, targets, relu, streams)

    _each_panel(code, widest, vectors, b, step_b, init, y, product)


def _finish(code, acc, targets, relu, streams):
    """The rows to their places, with ``relu`` 0 where they are negative."""
    floor, store, columns = code.floor(relu), code.stream if streams else code.store, len(acc) // len(targets)
    for r, target in enumerate(targets):
        for j in range(columns):
            store(code.clip(acc[r * columns + j], floor), code.at(target, code.lanes * j))


_REACH = 7  # rows that one address serves: x86 adds once, twice or four times what is in a register as it loads


def _even(code, rows, widest, args, streams):
    vectors, a, step_a, depth, b, step_b, init, init_step, y, y_step, relu = args
    step, three, five = (code.opaque(code.b.mul(step_a, code.int(n * code.item))) for n in (1, 3, 5))
    beyond = [code.b.mul(one, code.int(n)) for one, n in (
        (step, 0), (step, 1), (step, 2), (three, 1), (step, 4), (five, 1), (three, 2))]
    heads = [code.opaque(code.b.add(a, code.b.mul(step, code.int(r)))) for r in range(0, rows, _REACH)]
    count, behind = len(heads), code.numbers(code.b.add(a, code.b.mul(step, code.int(rows))))

    def product(columns, b, init, y):
        acc = _begin(code, code.spaced(init, init_step, rows), columns)
        targets = code.spaced(y, y_step, rows)
        code.expect_rows(targets, columns)

        def body(_, state):
            heads, (b, behind, *acc) = state[:count], state[count:]
            code.expect(behind)
            _expect_ahead(code, b, columns)
            acc = _multiply(code, acc, lambda r: code.numbers(code.b.add(heads[r // _REACH], beyond[r % _REACH])), b,
                            columns)
            following = [code.opaque(code.b.add(head, code.int(code.item))) for head in heads]
            return [*following, code.at(b, code.lanes * columns), code.at(behind, rows), *acc]

        acc = code.loop(depth, [*heads, b, behind, *acc], body)[count + 2:]
        _finish(code, acc, targets, relu, streams=False)

    _each_panel(code, widest, vectors, b, step_b, init, y, product)


def _pair(code, rows, widest, args, streams):
    vectors, a, line, step_a, depth, b, step_b, init, y, y_step, below, relu = args
    starts, at_once = code.spaced(code.numbers(a), step_a, rows), isa.pair_sums(code.lanes * code.item)

    def product(columns, b, init, y):
        size = rows * columns

        def add(lines, sums):
            """The products of these lines, added to their sums in one loop."""
            def body(_, state):
                k, b, *acc = state
                for i in lines:  # whose sum is the first, and becomes the last
                    at = code.b.add(k, code.b.mul(line, code.int(i)))
                    panel = code.at(b, code.b.mul(depth, code.int(i * code.lanes * columns)))
                    acc = acc[size:] + _multiply(code, acc[:size], lambda r, at=at: code.at(starts[r], at), panel,
                                                 columns)
                return [code.b.add(k, code.int(1)), code.at(b, code.lanes * columns), *acc]

            acc = code.loop(depth, [code.int(0), b, *sum(sums, [])], body)[2:]
            return [acc[n:n + size] for n in range(0, len(acc), size)]

        def products(lines, begin):
            for n in range(0, len(lines), at_once):
                yield from add(lines[n:n + at_once], begin[n:n + at_once])

        m1, m2 = products([1, 2], [_begin(code, [init] * rows, columns), [code.constant(0)] * size])
        begin = [[combine(*both) for both in zip(m1, m2, strict=True)] for combine in (code.b.fadd, code.b.fsub)]
        for acc, first in zip(products([0, 3], begin), (y, code.at(y, below)), strict=True):
            _finish(code, acc, code.spaced(first, y_step, rows), relu, streams)

    _each_panel(code, widest, vectors, b, step_b, init, y, product)


def _panel(code, rows, widest, args, streams):
    vectors, a, tap_a, step_a, b, tap_b, step_b, taps, depth, init, init_step, y, y_step = args
    a, b, init, y = map(code.numbers, (a, b, init, y))
    tap_a, tap_b = code.table(tap_a), code.table(tap_b)

    def product(columns):
        acc = code.loop(taps, _begin(code, code.spaced(init, init_step, rows), columns), lambda t, acc: _down(
            code, acc, depth, code.at(a, code.entry(tap_a, t)), step_a, code.at(b, code.entry(tap_b, t)), step_b,
            columns))
        _finish(code, acc, code.spaced(y, y_step, rows), code.int(0), streams)

    _either(code, vectors, widest, product)


def _sum(code, rows, widest, args, streams):
    vectors, a, step_a, b, step_b, depth, y, y_step, fresh = args
    targets = code.spaced(code.numbers(y), y_step, rows)

    def product(columns):
        if not streams:
            code.expect_rows(targets, columns)
        acc = _down(code, [code.constant(0)] * (rows * columns), depth, code.numbers(a), step_a, code.numbers(b),
                    step_b, columns)
        with code.when([fresh], [1]):
            _finish(code, acc, targets, code.int(0), streams)
        with code.when([fresh], [0]):
            acc = [code.b.fadd(*pair) for pair in zip(_begin(code, targets, columns), acc, strict=True)]
            _finish(code, acc, targets, code.int(0), streams)

    _either(code, vectors, widest, product)


def _down(code, acc, depth, a, step_a, b, step_b, columns):
    """So many steps down two matrices, whose lines are ``step`` apart.  What lies beside the columns of b, and the next
    tile takes, is asked for: a processor does not expect it by itself, for each line is another run of memory."""
    def body(_, state):
        a, b, *acc = state
        _expect_ahead(code, b, columns, 1, cache=2)
        acc = _multiply(code, acc, lambda r: code.at(a, r), b, columns)
        return [code.at(a, step_a), code.at(b, step_b), *acc]

    return code.loop(depth, [a, b, *acc], body)[2:]


def _either(code, vectors, widest, product):
    """The product that is so many vectors wide: of one, or of the ``widest``."""
    for columns in {1, widest}:
        with code.when([vectors], [columns]):
            product(columns)


def _dot(code, rows, columns, args, streams):
    a, step_a, b, step_b, vectors, y, y_step = args
    starts, lines = code.spaced(code.numbers(a), step_a, rows), code.spaced(code.numbers(b), step_b, columns)

    def body(_, state):
        k, *acc = state
        places = [code.at(start, k) for start in starts]
        for place in places:
            _expect_ahead(code, place, 1, cache=2)
        row = [code.load(place) for place in places]
        for c, line in enumerate(lines):
            column = code.load(code.at(line, k))
            for r in range(rows):
                acc[r * columns + c] = code.fma(row[r], column, acc[r * columns + c])
        return [code.b.add(k, code.int(code.lanes)), *acc]

    _, *acc = code.loop(vectors, [code.int(0), *[code.constant(0)] * (rows * columns)], body)
    for r, row in enumerate(code.spaced(code.numbers(y), y_step, rows)):
        for c in range(columns):
            target = code.at(row, c)
            code.b.store(code.b.fadd(code.b.load(target), code.sum(acc[r * columns + c])), target)


_KINDS = {"gather": _gather, "even": _even, "pair": _pair, "panel": _panel, "sum": _sum, "dot": _dot}


ARGUMENTS = {"gather": 15, "even": 12, "pair": 13, "panel": 14, "sum": 10, "dot": 8}


@intrinsic(prefer_literal=True)
def _write(typing_context, kind, streams, most, width, lanes, itemsize):
    """Writes a tile's function, and is its address."""
    constants = kind, streams, most, width, lanes, itemsize
    if not all(isinstance(t, types.Literal) for t in constants):
        return None  # Numba asks once more, with the values

    def generate(context, builder, signature, values):
        return builder.ptrtoint(_function(builder.module, *(t.literal_value for t in constants)), INT)

    return types.int64(*constants), generate


def _function(module, kind, streams, most, width, lanes, itemsize):
    """A C function: the tile's code for each number of rows up to ``most``, and a jump to the one for ``rows``.

    Numba could make one, but of two, and one to call the other.  What an argument on the stack is copied with, a vector
    of four, cannot be had before all that was stored earlier has reached the cache: the last tile's y."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * ARGUMENTS[kind]), f"{kind}_tile")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("start"))
    code, (rows, *args), end = Code(builder, itemsize, lanes), function.args, function.append_basic_block("done")
    switch = builder.switch(rows, end)
    for count in range(1, most + 1):
        block = builder.append_basic_block(f"rows{count}")
        switch.add_case(code.int(count), block)
        builder.position_at_end(block)
        _KINDS[kind](code, count, width, args, streams)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def address(kind, itemsize, columns=2, streams=False):
    """Where the compiled tile of a kind is; compiles it the first time.

    itemsize: 4 for float32, 8 for float64.  columns: J, the most vectors; of a dot tile, its columns.  streams: whether
    y goes past the caches (only that of a gather, a panel, a sum or a pair tile ever does)."""
    return _compiled(kind, itemsize, columns, streams)


@cache
def _compiled(kind, itemsize, columns, streams):
    best = isa.chosen()
    lanes, most = best.lanes(itemsize), {"dot": best.dot_rows(columns), "pair": best.pair_rows}.get(
        kind, best.tile_rows(columns))

    @inline
    def tile():
        return _write(kind, streams, most, columns, lanes, itemsize)

    return tile()


def _large():
    """Bytes that the last cache does not hold until they are used next: three quarters of it, if it belongs to a few
    cores, as 64 MB at most do.  One of a whole processor serves others, too; then, or if nobody says, 8 MB."""
    try:
        size = int(Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        size = 0
    return size * 3 // 4 if 8 << 20 < size <= 64 << 20 else 8 << 20


LARGE = _large()


def may_stream(array, columns):
    """Whether tiles that cover rows of ``columns`` numbers of a dense array should stream: it is large, and each row is
    whole cache lines.  A line that streams in parts, with others between them, is written to memory in parts."""
    return array.nbytes >= LARGE and array.ctypes.data % LINE_BYTES == 0 and columns * array.itemsize % LINE_BYTES == 0


def height(rows):
    """Rows of a tile such that as few tiles as possible take ``rows`` rows, and all are of nearly equal height."""
    return evenly(rows, isa.chosen().rows)


# Most first caches have 64 sets of 8 lines or more: numbers so many bytes apart are of one set.
_PERIOD, _WAYS = 4096, 8


def rows_apart(step, itemsize):
    """The most rows of a gather or an even tile whose numbers of a are ``step`` from row to row.

    If all are of one set of the first cache, no more than it holds beside a line of b: else each line of a would be put
    out before its next number is read."""
    rows = isa.chosen().rows
    return min(rows, _WAYS - 1) if step * itemsize % _PERIOD == 0 else rows


@intrinsic
def call(typing_context, address, args):
    """Call the C function at an address with a tuple of integers."""
    def generate(context, builder, signature, values):
        numbers = cgutils.unpack_tuple(builder, values[1])
        function = ir.FunctionType(ir.VoidType(), [INT] * len(numbers))
        builder.call(builder.inttoptr(values[0], function.as_pointer()), numbers)
        return context.get_dummy_value()

    return types.void(types.int64, args), generate
