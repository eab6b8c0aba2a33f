"""Requests, sectors and bank conflicts: known patterns give exactly the numbers that the definitions say."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinyconv.emulator import cupy, examples
from tinyconv.emulator.__main__ import main
from tinyconv.emulator.picture import _lay_out, _rows, _written
from tinyconv.emulator.trace import Line, Place, Request, statistics, trace

# One kernel per pattern, each of one warp (its line is found by the name of the array).
CODE = r"""
#define LANE threadIdx.x
extern "C" __global__ void patterns(const float* side_by_side, const float* every_other, const float* shifted,
                                    const float* one, const float* columns, const float4* wide, const double* doubles,
                                    const unsigned char* bytes, float* out, float* few)
{
    __shared__ __align__(16) float tile[32][32], padded[32][33];
    float sum = side_by_side[LANE] + every_other[2 * LANE] + shifted[LANE + 1] + one[5] + columns[32 * LANE];
    sum += wide[LANE].x + wide[LANE].w + float(doubles[LANE]) + bytes[LANE];
    for (int i = 0; i < 32; i++) {
        tile[i][LANE] = sum;
        padded[i][LANE] = sum;
    }
    __syncthreads();
    sum += tile[LANE][0];
    sum += padded[LANE][0];
    sum += tile[7][3];
    sum += tile[LANE / 16][LANE];
    float4 four = *reinterpret_cast<float4*>(&tile[LANE / 8][LANE % 8 * 4]);
    out[LANE] = sum + four.x + four.y + four.z + four.w;
    if (LANE < 5) few[LANE] = 1;
}
"""
GLOBAL = {  # array: bytes per lane, sectors, ideally
    "side_by_side": (4, 4, 4),
    "every_other": (4, 8, 4),
    "shifted": (4, 5, 4),  # 4 bytes off: a fifth sector for the last lane
    "one": (4, 1, 1),
    "columns": (4, 32, 4),
    "wide": (16, 16, 16),
    "doubles": (8, 8, 8),
    "bytes": (1, 1, 1),
    "out": (4, 4, 4),
    "few": (4, 1, 1),  # five lanes only: 20 bytes
}
SHARED = {  # source: bytes per lane, requests, wavefronts per request, ideally
    "tile[i][LANE] = sum;": (4, 32, 1, 1),
    "padded[i][LANE] = sum;": (4, 32, 1, 1),
    "sum += tile[LANE][0];": (4, 1, 32, 1),
    "sum += padded[LANE][0];": (4, 1, 1, 1),
    "sum += tile[7][3];": (4, 1, 1, 1),
    "sum += tile[LANE / 16][LANE];": (4, 1, 1, 1),
    "float4 four = *reinterpret_cast<float4*>(&tile[LANE / 8][LANE % 8 * 4]);": (16, 1, 4, 4),
}
SIZES = {"side_by_side": 32, "every_other": 64, "shifted": 33, "one": 6, "columns": 1024, "wide": 128}


@pytest.fixture(scope="module")
def lines() -> dict[str, Line]:
    """By array or, in shared memory, by the text of the line."""
    module = cupy.RawModule(code=CODE, options=("-lineinfo",))

    def run() -> None:
        arrays = [cupy.empty(size, np.float32) for size in SIZES.values()]
        arrays += [cupy.empty(32, dtype) for dtype in (np.float64, np.uint8, np.float32, np.float32)]
        for array in arrays:
            array.fill(1)
        module.get_function("patterns")((1,), (32,), tuple(arrays))

    return {line.place.array or module.source_line(line.place.file, line.place.line): line for line in statistics(run)}


@pytest.mark.parametrize("array", GLOBAL)
def test_sectors_of_a_request(lines: dict[str, Line], array: str) -> None:
    line = lines[array]
    assert (line.place.nbytes, line.cost, line.ideal) == GLOBAL[array]
    assert line.requests == 1 and line.place.space == "global" and line.place.write == (array in ("out", "few"))


@pytest.mark.parametrize("source", SHARED)
def test_wavefronts_of_a_request(lines: dict[str, Line], source: str) -> None:
    line = lines[source]
    assert (line.place.nbytes, line.requests, line.per_request, line.ideal_per_request) == SHARED[source]
    assert line.place.space == "shared" and line.place.write == source.endswith("= sum;")


def _shared(nbytes: int, address: Callable[[int], int], lanes: int = 32) -> Request:
    return Request(Place("a.cu", 1, "shared", "", False, nbytes), 0, {lane: address(lane) for lane in range(lanes)})


@pytest.mark.parametrize("request_, cost, ideal", [
    (_shared(4, lambda lane: 8 * lane), 2, 1),  # every other bank, twice
    (_shared(4, lambda lane: 16 * lane), 4, 1),
    (_shared(1, lambda lane: lane), 1, 1),  # four lanes to a word
    (_shared(1, lambda lane: 128 * lane), 32, 1),
    (_shared(8, lambda lane: 8 * lane), 2, 2),  # two halves of a warp
    (_shared(8, lambda lane: 16 * lane), 4, 2),
    (_shared(16, lambda lane: 16 * lane), 4, 4),  # four quarters
    (_shared(16, lambda lane: 32 * lane), 8, 4),
    (_shared(16, lambda lane: 0), 4, 4),
    (_shared(16, lambda lane: 16 * lane, lanes=8), 1, 1),  # only the first quarter takes part
])
def test_wavefronts_by_definition(request_: Request, cost: int, ideal: int) -> None:
    assert (request_.cost, request_.ideal) == (cost, ideal)


def increment() -> np.ndarray:
    """Add 1 to each of 0 ... 95, an array of shape (3, 2, 16), in three blocks of 32 threads."""
    code = 'extern "C" __global__ void increment(int* x) { x[blockIdx.x * 32 + threadIdx.x] += 1; }'
    x = cupy.empty((3, 2, 16), np.int32)
    x.set(np.arange(96, dtype=np.int32).reshape(x.shape))
    cupy.RawModule(code=code).get_function("increment")((3,), (32,), (x,))
    return x.get()


def test_another_block_is_traced_and_nothing_else_changes() -> None:
    results: list[np.ndarray] = []
    (each,) = trace(lambda: results.append(increment()), (2, 0, 0))
    np.testing.assert_array_equal(results[0].ravel(), np.arange(96) + 1)  # the whole launch ran, once
    start = each.launch.arguments[0].start
    assert [r.lanes for r in each.requests] == 2 * [{lane: start + 4 * (64 + lane) for lane in range(32)}]
    assert [r.place.write for r in each.requests] == [False, True]
    assert trace(increment, (3, 0, 0)) == []  # there is no such block


def test_what_was_launched_before_is_not_traced() -> None:
    x = cupy.empty(32, np.int32)
    x.fill(0)
    kernel = cupy.RawModule(code='extern "C" __global__ void once(int* x) { x[threadIdx.x]++; }').get_function("once")
    kernel((1,), (32,), (x,))  # still waits in its stream
    assert [each.launch.name for each in trace(increment)] == ["increment"]


# -- examples

def test_every_function_of_every_layer_has_an_example_that_fits_it() -> None:
    kernels = Path(inspect.getfile(importlib.import_module("tinyconv.kernels"))).parent
    expected = set()
    for path in kernels.glob("*/cuda.py"):
        layer, module = path.parent.name, importlib.import_module(f"tinyconv.kernels.{path.parent.name}.cuda")
        reference = importlib.import_module(f"tinyconv.kernels.{layer}.reference")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and hasattr(reference, name) and not name.startswith("_"):
                expected.add(f"{layer}.{name}")
                example = examples.EXAMPLES[f"{layer}.{name}"]
                arrays = [None] * len(example.arrays(example.shape))
                inspect.signature(getattr(reference, name)).bind(*arrays, **example.options)
    assert set(examples.EXAMPLES) == expected and len(expected) > 30


def test_relu_runs_at_the_ideal_number_of_sectors() -> None:
    lines = statistics(lambda: examples.run("relu.forward"))
    assert {line.place.array for line in lines} == {"x", "y"}
    assert all(line.cost == line.ideal > 0 for line in lines)


# -- the picture

def test_the_picture_knows_who_wrote_what() -> None:
    (each,) = trace(increment, (1, 0, 0))
    ((name, owner),) = _written(each)
    assert name == "x"
    np.testing.assert_array_equal(owner[[0, 2]], -1)
    np.testing.assert_array_equal(owner[1], np.arange(32).reshape(2, 16))


def test_sectors_are_drawn_apart_where_memory_is_left_out() -> None:
    assert _rows([4, 5, 9]) == {4: 0.0, 5: 1.0, 9: 2.5}


@pytest.mark.parametrize("shape, rows, note", [
    ((2, 3), [[0, 1, 2], [3, 4, 5]], "as a matrix"),
    ((4, 1, 1, 2), [[0, 1, -1, 2, 3], [-1] * 5, [4, 5, -1, 6, 7]], "planes of 1 x 2, 2 in a row"),
    ((40,), [[*range(32)], [*range(32, 40), *[-1] * 24]], "in rows of 32")])
def test_arrays_are_laid_out_as_pictures(shape: tuple[int, ...], rows: Any, note: str) -> None:
    """Colour i is (i, i, i, i); what belongs to no element is white, (1, 1, 1, 1), here -1."""
    colours = np.stack([np.arange(np.prod(shape)) * 10 + 5] * 4, axis=-1).reshape(*shape, 4)
    image, told = _lay_out(colours.astype(float))
    expected = np.where(np.array(rows) < 0, 1, np.array(rows) * 10 + 5)
    np.testing.assert_array_equal(image[..., 0], expected)
    assert told == note


# -- the command

def test_the_command_prints_a_table_and_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "relu.png"
    main(["trace", "linear.forward", "--rung", "naive", "--shape", "8,64", "--block", "1", "--out", str(out)])
    title, _, header, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("linear.forward: kernel forward (linear/naive.cu), block (1, 0, 0) of grid ")
    assert header.split() == ["line", "memory", "bytes", "requests", "per", "request", "ideal", "source"]
    by_array = {row.split()[2]: row.split()[3:] for row in rows if row.startswith("naive.cu:")}
    assert by_array.keys() == {"x", "weight", "bias", "y"}
    nbytes, _, sectors, unit, ideal, excess = by_array["weight"][:6]  # each lane reads a row of its own
    assert (nbytes, sectors, unit, ideal, excess) == ("4", "32.00", "sectors", "4.00", "8.00")
    with Image.open(out) as image:
        assert image.size == (1600, 900) and len(image.convert("RGB").getcolors(1 << 20)) > 50  # it is not blank


def test_the_command_lists_what_it_can_trace(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(examples.EXAMPLES)
    assert "--rung naive | tiled" in listed[0] and "--shape 2,32,16,16" in listed[0]


@pytest.mark.parametrize("arguments, message", [
    (["trace", "relu.sideways"], "there is no launch 'relu.sideways'"),
    (["trace", "relu.forward", "--shape", "3,4"], "--shape (3, 4): relu.forward needs 4 numbers"),
    (["trace", "relu.forward", "--shape", "1,2,0,4"], "--shape (1, 2, 0, 4): relu.forward needs 4 numbers, 1 or more"),
    (["trace", "relu.forward", "--shape", "big"], "'big' is not a list of whole numbers"),
    (["trace", "relu.forward", "--block", "64"], "--block 64,0,0: no kernel of relu.forward has such a block"),
    (["trace", "relu.forward", "--launch", "sum"], "--launch 'sum': there are forward"),
    (["trace", "relu.forward", "--rung", "naive"], "'relu.forward' has no ladder"),
    (["trace", "relu.forward", "--out", "/nowhere/to/be.png"], "/nowhere/to/be.png"),
    ([], "required")])
def test_an_error_is_one_line_and_exit_code_2(
        arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    printed = capsys.readouterr().err
    assert exit_.value.code == 2 and message in printed and printed.count("\n") == 1 and printed.startswith("error: ")
