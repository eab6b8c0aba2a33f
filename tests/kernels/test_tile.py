"""The register tile by itself: every kind, height, width and precision against the formula in NumPy."""

import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinyconv.kernels import isa, tile

BEST = isa.chosen()
DTYPES = {4: np.float32, 8: np.float64}
# Sums of some forty products of numbers of about 1: a few units of the last place.
TOL = {4: 1e-5, 8: 1e-13}


def _function(kind: str, itemsize: int, columns: int = 2, streams: bool = False) -> Callable[..., None]:
    """The tile as ctypes calls it: counts, and addresses (of arrays) or distances."""
    count = tile.ARGUMENTS[kind]
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(tile.address(kind, itemsize, columns, streams))
    return lambda *arguments: call(*(a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in arguments))


def _draw(itemsize: int) -> Callable[..., np.ndarray]:
    rng = np.random.default_rng(0)
    return lambda *shape: rng.standard_normal(shape).astype(DTYPES[itemsize])


def _close(actual: np.ndarray, expected: np.ndarray, itemsize: int) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOL[itemsize] * np.abs(expected).max())


def _panels(vectors: int, itemsize: int) -> list[tuple[int, int]]:
    """(first column, columns) of panels of two vectors, and of a last one of one."""
    V = BEST.lanes(itemsize)
    return [(first * V, min(2, vectors - first) * V) for first in range(0, vectors, 2)]


@pytest.mark.parametrize("low, high, depth", [(0, 1, 1), (0, 1, 7), (0, 3, 13), (1, 3, 4), (2, 2, 5), (0, 2, 0)])
@pytest.mark.parametrize("rows", range(1, BEST.rows + 1))
@pytest.mark.parametrize("vectors", [1, 2, 5])
@pytest.mark.parametrize("itemsize", DTYPES)
@pytest.mark.parametrize("streams", [False, True])
def test_gather(streams: bool, itemsize: int, vectors: int, rows: int, low: int, high: int, depth: int) -> None:
    """Rows in no order, some of them the same; taps that overlap, and not all of them (if none, y = init); panels with
    a gap behind each; rows of y apart."""
    draw, rng, panels = _draw(itemsize), np.random.default_rng(1), _panels(vectors, itemsize)
    all_wide, most = vectors * BEST.lanes(itemsize), 2 * BEST.lanes(itemsize)
    step_b = 3 * depth * most + 3
    a, b = draw(200), draw(len(panels) * step_b + most)
    row, tap = rng.integers(0, 100, rows), np.array([40, 0, 45])
    init, init_row = draw(4 * all_wide), rng.integers(0, 3, rows) * most // 2
    pitch, first = (all_wide + most, BEST.lanes(itemsize)) if streams else (all_wide + 5, 2)
    y, y_row = _on_a_boundary((rows + 1) * pitch, itemsize), rng.permutation(rows) * pitch + first
    _function("gather", itemsize, streams=streams)(rows, vectors, a, row, tap, low, high, depth, b, step_b, init,
                                                   init_row, y, y_row, 0)
    written = np.zeros(y.size, bool)
    for r, (p, (column, wide)) in itertools.product(range(rows), enumerate(panels)):
        expected = init[init_row[r] + column:][:wide].astype(np.float64)
        for t in range(low, high):
            for k in range(depth):
                expected += a[row[r] + tap[t] + k].astype(np.float64) * b[p * step_b + (t * depth + k) * wide:][:wide]
        here = y_row[r] + column
        _close(y[here:][:wide], expected, itemsize)
        written[here:here + wide] = True
    assert np.isnan(y[~written]).all(), "it wrote beside its rows"


@pytest.mark.parametrize("depth", [0, 1, 13])
@pytest.mark.parametrize("rows", range(1, BEST.rows + 1))
@pytest.mark.parametrize("vectors", [1, 2, 5])
@pytest.mark.parametrize("itemsize", DTYPES)
def test_even(itemsize: int, vectors: int, rows: int, depth: int) -> None:
    """Rows of a that overlap, of init and y that lie apart, and panels with a gap behind each."""
    draw, panels = _draw(itemsize), _panels(vectors, itemsize)
    all_wide, most = vectors * BEST.lanes(itemsize), 2 * BEST.lanes(itemsize)
    step_a, step_b, init_step, y_step = 5, depth * most + 3, all_wide + 4, all_wide + 5
    a, b, init = draw(rows * step_a + depth), draw(len(panels) * step_b + most), draw(rows * init_step)
    y = _on_a_boundary((rows + 1) * y_step, itemsize)
    _function("even", itemsize)(rows, vectors, a, step_a, depth, b, step_b, init, init_step, y, y_step, 0)
    written = np.zeros(y.size, bool)
    for r, (p, (column, wide)) in itertools.product(range(rows), enumerate(panels)):
        expected = init[r * init_step + column:][:wide].astype(np.float64)
        for k in range(depth):
            expected += a[r * step_a + k].astype(np.float64) * b[p * step_b + k * wide:][:wide]
        here = r * y_step + column
        _close(y[here:][:wide], expected, itemsize)
        written[here:here + wide] = True
    assert np.isnan(y[~written]).all(), "it wrote beside its rows"


@pytest.mark.parametrize("depth", [0, 1, 13])
@pytest.mark.parametrize("rows", range(1, BEST.pair_rows + 1))
@pytest.mark.parametrize("vectors", [1, 2, 5])
@pytest.mark.parametrize("itemsize", DTYPES)
@pytest.mark.parametrize("streams", [False, True])
def test_pair(streams: bool, itemsize: int, vectors: int, rows: int, depth: int) -> None:
    """Lines of a that lie apart, panels with a gap behind each, and the second line of y elsewhere."""
    draw, panels = _draw(itemsize), _panels(vectors, itemsize)
    all_wide, most = vectors * BEST.lanes(itemsize), 2 * BEST.lanes(itemsize)
    line, step_a, step_b = rows * 5 + depth + 1, 5, 4 * depth * most + 3
    y_step = all_wide + (most if streams else 5)
    below = (rows + 1) * y_step
    a, b, init = draw(4 * line), draw(len(panels) * step_b + most), draw(all_wide)
    y = _on_a_boundary(2 * below, itemsize)
    _function("pair", itemsize, streams=streams)(rows, vectors, a, line, step_a, depth, b, step_b, init, y, y_step,
                                                 below, 0)
    written = np.zeros(y.size, bool)
    for r, (p, (column, wide)) in itertools.product(range(rows), enumerate(panels)):
        m = [sum((a[i * line + r * step_a + k].astype(np.float64) * b[p * step_b + (i * depth + k) * wide:][:wide]
                  for k in range(depth)), np.zeros(wide)) for i in range(4)]
        bias = init[column:][:wide].astype(np.float64)
        for here, expected in ((0, bias + m[1] + m[2] + m[0]), (below, bias + m[1] - m[2] + m[3])):
            here += r * y_step + column
            _close(y[here:][:wide], expected, itemsize)
            written[here:here + wide] = True
    assert np.isnan(y[~written]).all(), "it wrote beside its rows"


def _on_a_boundary(size: int, itemsize: int) -> np.ndarray:
    """So many NaN, the first of them where a vector may begin that is stored past the caches."""
    spare = BEST.bytes // itemsize
    array = np.full(size + spare, np.nan, DTYPES[itemsize])
    return array[-array.ctypes.data % BEST.bytes // itemsize:][:size]


@pytest.mark.parametrize("taps, depth", [(1, 1), (1, 7), (3, 13), (0, 5), (2, 0)])
@pytest.mark.parametrize("vectors, most, rows", [
    (vectors, most, rows)
    for most in (2, 4, 8) for vectors in (1, most) for rows in range(1, BEST.tile_rows(most) + 1)])
@pytest.mark.parametrize("itemsize", DTYPES)
@pytest.mark.parametrize("streams", [False, True])
def test_panel(streams: bool, itemsize: int, vectors: int, most: int, rows: int, taps: int, depth: int) -> None:
    draw = _draw(itemsize)
    wide = vectors * BEST.lanes(itemsize)
    step_a, step_b, init_step = BEST.rows + 2, wide + 1, wide + 4
    y_step = wide + (BEST.lanes(itemsize) if streams else 5)
    tap_a, tap_b = np.array([17, 3, 60])[:taps], np.array([0, 5 * step_b, 2])[:taps]
    a, b = draw(100 + depth * step_a), draw(6 * step_b + depth * step_b + wide)
    init, y = draw(rows * init_step), _on_a_boundary((rows + 1) * y_step, itemsize)
    _function("panel", itemsize, most, streams)(rows, vectors, a, tap_a, step_a, b, tap_b, step_b, taps, depth, init,
                                                init_step, y, y_step)
    written = np.zeros(y.size, bool)
    for r in range(rows):
        expected = init[r * init_step:][:wide].astype(np.float64)
        for t in range(taps):
            for k in range(depth):
                expected += a[tap_a[t] + k * step_a + r].astype(np.float64) * b[tap_b[t] + k * step_b:][:wide]
        _close(y[r * y_step:][:wide], expected, itemsize)
        written[r * y_step:r * y_step + wide] = True
    assert np.isnan(y[~written]).all(), "it wrote beside its rows"


@pytest.mark.parametrize("depth", [0, 1, 13])
@pytest.mark.parametrize("rows", range(1, BEST.rows + 1))
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("itemsize", DTYPES)
@pytest.mark.parametrize("streams, fresh", [(False, False), (False, True), (True, True)])
def test_sum(streams: bool, fresh: bool, itemsize: int, vectors: int, rows: int, depth: int) -> None:
    """The sum by itself, rounded as one, and then what was there; or, fresh, whatever was there, NaN too."""
    draw, wide = _draw(itemsize), vectors * BEST.lanes(itemsize)
    step_a, step_b, y_step = BEST.rows + 2, wide + 1, wide + (BEST.lanes(itemsize) if streams else 5)
    a, b = draw(depth * step_a + rows), draw(depth * step_b + wide)
    y = _on_a_boundary((rows + 1) * y_step, itemsize)
    before = y.reshape(-1, y_step)[:rows, :wide]
    if not fresh:
        before[...] = draw(rows, wide)
    sums = np.zeros((rows, wide), DTYPES[itemsize])
    _function("sum", itemsize)(rows, vectors, a, step_a, b, step_b, depth, sums, wide, 1)
    a_of_steps, b_of_steps = (np.lib.stride_tricks.as_strided(m, (depth, size), (step * itemsize, itemsize))
                              for m, size, step in ((a, rows, step_a), (b, wide, step_b)))
    _close(sums, a_of_steps.T.astype(np.float64) @ b_of_steps, itemsize)
    expected = sums if fresh else before + sums
    _function("sum", itemsize, streams=streams)(rows, vectors, a, step_a, b, step_b, depth, y, y_step, int(fresh))
    np.testing.assert_array_equal(y.reshape(-1, y_step)[:rows, :wide], expected)
    written = np.zeros((rows + 1, y_step), bool)
    written[:rows, :wide] = True
    assert np.isnan(y[~written.reshape(-1)]).all(), "it wrote beside its rows"


@pytest.mark.parametrize("vectors", [0, 1, 5])
@pytest.mark.parametrize("columns", range(1, 9))
@pytest.mark.parametrize("itemsize", DTYPES)
def test_dot(itemsize: int, columns: int, vectors: int) -> None:
    """All heights; lines of a and b, and rows of y, with gaps; what was in y counts."""
    draw, depth = _draw(itemsize), vectors * BEST.lanes(itemsize)
    for rows in range(1, BEST.dot_rows(columns) + 1):
        step_a, step_b, y_step = depth + 3, depth + 1, columns + 2
        a, b, y = draw(rows * step_a), draw(columns * step_b), draw((rows + 1) * y_step)
        expected = y.astype(np.float64)
        for r, c in itertools.product(range(rows), range(columns)):
            expected[r * y_step + c] += a[r * step_a:][:depth].astype(np.float64) @ b[c * step_b:][:depth]
        _function("dot", itemsize, columns)(rows, a, step_a, b, step_b, vectors, y, y_step)
        _close(y, expected, itemsize)


def test_y_may_be_where_init_is() -> None:
    """So a long sum is taken in pieces: the second piece begins with what the first has left."""
    draw, wide = _draw(8), BEST.lanes(8)
    a, b, zero = draw(10), draw(10, wide), np.zeros(1, np.int64)
    y, run = np.zeros(wide), _function("gather", 8)
    run(1, 1, a, zero, zero, 0, 1, 6, b, 0, y, zero, y, zero, 0)
    run(1, 1, a[6:], zero, zero, 0, 1, 4, b[6:], 0, y, zero, y, zero, 0)
    _close(y, a @ b, 8)


@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("itemsize", DTYPES)
@pytest.mark.parametrize("kind, streams", [
    ("gather", False), ("gather", True), ("even", False), ("pair", False), ("pair", True)])
def test_a_tile_clips_if_asked_to(kind: str, itemsize: int, streams: bool, relu: int) -> None:
    """Of init alone, since the sum has no terms: below 0 becomes 0; NaN, infinity and what is above stay."""
    numbers = [np.nan, -1, 2, -np.inf, np.inf, -0.0, 0, -1e-30]
    init, zero = np.resize(np.array(numbers, DTYPES[itemsize]), BEST.lanes(itemsize)), np.zeros(1, np.int64)
    y = _on_a_boundary(2 * init.size, itemsize)
    call = _function(kind, itemsize, streams=streams)
    if kind == "gather":
        call(1, 1, init, zero, zero, 0, 0, 0, init, 0, init, zero, y, zero, relu)
    elif kind == "even":
        call(1, 1, init, 0, 0, init, 0, init, 0, y, 0, relu)
    else:
        call(1, 1, init, 0, 0, 0, init, 0, init, y, 0, init.size, relu)
    for line in y.reshape(2, -1)[:1 + (kind == "pair")]:
        np.testing.assert_array_equal(line, np.where(init < 0, 0, init) if relu else init)


@pytest.mark.parametrize("itemsize", DTYPES)
def test_every_tile_gives_the_same_bits(itemsize: int) -> None:
    """Whatever its kind, height and width, a number is the same chain of multiply-adds, k after k.  So the cut of a
    product into tiles changes nothing."""
    draw, wide, zero = _draw(itemsize), 2 * BEST.lanes(itemsize), np.zeros(1, np.int64)
    a, b, nothing = draw(BEST.rows, 50), draw(50, wide), np.zeros(wide, DTYPES[itemsize])
    columns = np.ascontiguousarray(a.T)

    def product(kind: str, streams: bool, tall: int, vectors: int) -> bytes:
        y = _on_a_boundary(BEST.rows * wide, itemsize).reshape(-1, wide)
        width, tile_of = vectors * BEST.lanes(itemsize), _function(kind, itemsize, streams=streams)
        for first, column in itertools.product(range(0, BEST.rows, tall), range(0, wide, width)):
            rows, panel = min(tall, BEST.rows - first), np.ascontiguousarray(b[:, column:column + width])
            target = y[first:].reshape(-1)[column:]
            if kind == "gather":
                tile_of(rows, vectors, a, np.arange(first, first + rows) * 50, zero, 0, 1, 50, panel, 0, nothing,
                        np.zeros(rows, np.int64), target, np.arange(rows) * wide, 0)
            elif kind == "even":
                tile_of(rows, vectors, a[first:], 50, 50, panel, 0, nothing, 0, target, wide, 0)
            elif kind == "panel":
                tile_of(rows, vectors, columns.reshape(-1)[first:], zero, BEST.rows, panel, zero, width, 1, 50, nothing,
                        0, target, wide)
            else:
                tile_of(rows, vectors, columns.reshape(-1)[first:], BEST.rows, panel, width, 50, target, wide, 1)
        _close(y, a.astype(np.float64) @ b, itemsize)
        return y.tobytes()

    kinds = *itertools.product(("gather", "panel", "sum"), (False, True)), ("even", False)
    cuts = itertools.product(kinds, (1, 3, BEST.rows), (1, 2))
    assert len({product(*kind, *cut) for kind, *cut in cuts}) == 1


@pytest.mark.parametrize("name", isa.ALL)
def test_what_a_tile_needs_is_in_the_registers(name: str) -> None:
    """Its accumulators, the vectors of b and a number of a; and as wide as that allows, up to 8 vectors."""
    one = isa.ALL[name]
    for rows in range(1, one.rows + 1):
        vectors = one.tile_vectors(rows)
        assert rows <= one.tile_rows(vectors) and (rows + 1) * vectors + 1 <= one.registers
        assert vectors == 8 or (rows + 1) * 2 * vectors + 1 > one.registers
    assert one.tile_rows(1) == one.tile_rows(one.vectors) == one.rows


@pytest.mark.parametrize("rows, height", [(1, 1), (13, 13), (14, 14), (15, 8), (27, 14), (29, 10), (64, 13)])
def test_heights_are_even(monkeypatch: pytest.MonkeyPatch, rows: int, height: int) -> None:
    """15 rows are 8 + 7, never 14 + 1: a tile of one row waits for its chain of additions."""
    monkeypatch.setattr(isa, "chosen", lambda: isa.AVX512)
    assert tile.height(rows) == height


@pytest.mark.parametrize("best, step, itemsize, rows", [
    (isa.AVX512, 1024, 4, 7), (isa.AVX512, 9216, 4, 7), (isa.AVX512, 512, 8, 7), (isa.NEON, 1024, 4, 7),
    (isa.AVX512, 512, 4, 14), (isa.AVX512, 1040, 4, 14), (isa.AVX2, 1024, 4, 6)])
def test_rows_of_one_set_of_the_first_cache_are_fewer(monkeypatch: pytest.MonkeyPatch, best: isa.ISA, step: int,
                                                      itemsize: int, rows: int) -> None:
    monkeypatch.setattr(isa, "chosen", lambda: best)
    assert tile.rows_apart(step, itemsize) == rows


@pytest.mark.parametrize("name", ["avx512", "avx2", "neon"])
def test_a_tile_fits_the_registers(name: str) -> None:
    """And is large enough: R*J chains of multiply-adds of 4 cycles, two of them started in a cycle."""
    best = isa.ALL[name]
    accumulators = best.rows * best.vectors
    assert accumulators + best.vectors + 1 <= best.registers == (16 if name == "avx2" else 32)
    assert accumulators >= 8
    for columns in range(1, 9):
        rows = best.dot_rows(columns)
        assert 1 <= rows <= 8 and (rows == 1 or rows * columns + rows + 1 <= best.registers)


def test_a_processor_without_vector_instructions_runs_the_same_tiles(tmp_path: Path) -> None:
    """Compiled for the least that processors of this kind have: x86 adds and multiplies then, and rounds twice."""
    least = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k",
                           "gather or even or pair or panel or sum or dot"], capture_output=True, text=True,
                          env={**os.environ, **least, "TINYCONV_ISA": "plain"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_instruction_set_is_refused() -> None:
    program = "from tinyconv.kernels import isa; isa.chosen()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "TINYCONV_ISA": "mmx"})
    assert "ValueError: TINYCONV_ISA is 'mmx'; use one of avx512, avx2, neon, plain, or unset it" in done.stderr


def test_columns_are_counted_in_vectors() -> None:
    expected: dict[str, Any] = {"avx512": (16, 8), "avx2": (8, 4), "neon": (4, 2), "plain": (4, 2)}
    for name, lanes in expected.items():
        best = isa.ALL[name]
        assert (best.lanes(4), best.lanes(8)) == lanes
        assert best.columns(4) == 2 * lanes[0] and best.padded(lanes[0] + 1, 4) == 2 * lanes[0]
        assert best.padded(lanes[1], 8) == lanes[1]


@pytest.mark.parametrize("said, megabytes", [
    ("32768K\n", 24), ("16384K\n", 12), ("65536K\n", 48), ("107520K\n", 8), ("4096K\n", 8), ("huge\n", 8), (None, 8)])
def test_what_the_last_cache_does_not_hold(monkeypatch: pytest.MonkeyPatch, said: str | None, megabytes: int) -> None:
    def read_text(path: Path) -> str:
        if said is None:
            raise FileNotFoundError(path)
        return said

    monkeypatch.setattr(Path, "read_text", read_text)
    assert tile._large() == megabytes << 20
