"""Modules: what a kernel says of itself, argument checking, the cache, and what is said where a tool is missing."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyconv.emulator import build, nvrtc, ptx
from tinyconv.emulator.module import Access, Module, Region
from tinyconv.emulator.nvrtc import CompileError, EmulatorUnavailable
from tinyconv.emulator.signature import signatures

from .runner import ORDERS, kernel, launch

SCALE = """
#include "factor.cuh"
extern "C" __global__ void scale(const float* x, float* y) { y[threadIdx.x] = FACTOR * x[threadIdx.x]; }
"""


@pytest.fixture()
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: None) -> Path:
    """An empty cache, and a folder with a header."""
    build.runtime()  # compiled once for all tests; the empty cache gets a copy
    (tmp_path / "cache" / "emulator").mkdir(parents=True)
    (tmp_path / "cache" / "emulator" / build.runtime().name).write_bytes(build.runtime().read_bytes())
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "cache"))
    (tmp_path / "factor.cuh").write_text("#define FACTOR 3\n")
    return tmp_path


def _scaled(folder: Path, **options: Any) -> list[float]:
    module = Module(SCALE, ("-std=c++17", f"-I{folder}"), file="scale.cu", **options)
    x, y = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    launch(module.kernels["scale"], 1, 4, x, y)
    return y.tolist()


def _without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise AssertionError("a warm start must not load NVRTC")
    monkeypatch.setattr(nvrtc, "load", absent)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a warm start must not run a compiler"))


def test_a_warm_start_needs_no_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _scaled(folder) == [0, 3, 6, 9]
    _without_tools(monkeypatch)
    assert _scaled(folder) == [0, 3, 6, 9]
    with pytest.raises(AssertionError, match="NVRTC"):
        _scaled(folder, arch=75)


def test_what_was_built_serves_where_the_tools_are_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _scaled(folder) == [0, 3, 6, 9]
    monkeypatch.setattr(nvrtc, "library_path", lambda: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert _scaled(folder) == [0, 3, 6, 9]


def test_a_changed_header_is_noticed_wherever_it_lies(folder: Path) -> None:
    assert _scaled(folder) == [0, 3, 6, 9]
    (folder / "deep").mkdir()
    (folder / "deep" / "number.cuh").write_text("#define NUMBER 5\n")
    (folder / "deep" / "factor.cuh").write_text('#include "number.cuh"\n')
    (folder / "factor.cuh").write_text('#include "deep/factor.cuh"\n#define FACTOR NUMBER\n')
    assert _scaled(folder) == [0, 5, 10, 15]
    (folder / "deep" / "number.cuh").write_text("#define NUMBER 7\n")
    assert _scaled(folder) == [0, 7, 14, 21]


@pytest.mark.parametrize("options", [
    ("-I", "{}"), ("--include-path={}",), ("--include-path", "{}"), ("-include", "{}/factor.cuh"),
    ("--pre-include={}/factor.cuh",)], ids=" ".join)
def test_a_changed_header_is_noticed_however_it_is_named(folder: Path, options: tuple[str, ...]) -> None:
    code = 'extern "C" __global__ void scale(float* y) { y[threadIdx.x] = FACTOR; }'
    code = code if "include" in options[0] and "path" not in options[0] else f'#include "factor.cuh"\n{code}'

    def factor() -> float:
        y = np.zeros(1, np.float32)
        module = Module(code, tuple(option.format(folder) for option in options), file="scale.cu")
        launch(module.kernels["scale"], 1, 1, y)
        return float(y[0])

    assert factor() == 3
    (folder / "factor.cuh").write_text("#define FACTOR 4\n")
    assert factor() == 4


@pytest.mark.parametrize("damage", [lambda whole: whole[:len(whole) // 2], lambda whole: b"",
                                    lambda whole: whole[:-100] + bytes(100)], ids=["half", "empty", "zeros"])
def test_what_was_not_written_to_its_end_is_made_again(folder: Path, damage: Any) -> None:
    assert _scaled(folder) == [0, 3, 6, 9]
    made = {path: path.read_bytes() for path in (folder / "cache" / "emulator").iterdir()
            if path.name != build.runtime().name}
    assert {path.suffix for path in made} == {".ptx", ".json", ".so"}
    for path, whole in made.items():
        path.unlink()  # the shared object is in use: only a new file may be damaged
        path.write_bytes(damage(whole))
    assert _scaled(folder) == [0, 3, 6, 9]
    assert {path: path.read_bytes() for path in made if path.suffix != ".so"} == {
        path: whole for path, whole in made.items() if path.suffix != ".so"}


def test_both_modes_share_a_translation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _scaled(folder)
    monkeypatch.setattr(nvrtc, "load", lambda: pytest.fail("the PTX was kept"))
    assert _scaled(folder, check=True) == [0, 3, 6, 9]
    assert not list((folder / "cache" / "emulator").glob(".part*"))


def test_a_missing_compiler_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(EmulatorUnavailable, match="no C\\+\\+ compiler was found .*apt install g\\+\\+"):
        _scaled(folder)
    assert "C++ compiler" in (build.unavailable() or "")


def test_a_missing_nvrtc_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "library_path", lambda: None)
    nvrtc.load.cache_clear()
    with pytest.raises(EmulatorUnavailable, match=r'NVRTC .* was not found.*pip install "tinyconv\[emulator\]"'):
        _scaled(folder)
    assert "NVRTC" in (build.unavailable() or "")


@pytest.mark.usefixtures("tools")
def test_an_error_of_the_compiler_names_file_and_line() -> None:
    with pytest.raises(CompileError, match=r'test.cu\(2\): error: identifier "undeclared" is undefined'):
        kernel('extern "C" __global__ void kernel(float* y)\n{ y[0] = undeclared; }')


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("arch", [80, 120])
def test_what_a_kernel_says_of_itself(arch: int) -> None:
    code = """
#define SIZES int n, long long offset
__device__ __noinline__ void store(float* y, double z) { *y = z; }
extern "C" __global__ void __launch_bounds__(96, 2) first(const float* x, float* unused, SIZES, char c, short s,
                                                          double d, float f)
{
    __shared__ float tile[100];
    tile[threadIdx.x] = x[offset + n]; __syncthreads();
    store((float*)x, tile[0] + c + s + d + f);
}
extern "C" __global__ void second(float2 (*rows)[4], unsigned long long bits /* , not this */) { rows[0][1].x = bits; }
"""
    module = Module(code, arch=arch)
    first, second = module.kernels["first"], module.kernels["second"]
    assert [p.kind for p in first.parameters] == ["pointer", "pointer", "i32", "i64", "i8", "i16", "f64", "f32"]
    assert (first.static_shared, first.max_threads, second.static_shared, second.max_threads) == (400, 96, 0, None)
    assert [p.kind for p in second.parameters] == ["pointer", "i64"]
    assert 8 <= second.registers <= first.registers <= 64


def test_signatures() -> None:
    code = """
    // __global__ void commented(int no);
    extern "C" __global__ void __launch_bounds__(N, (M + 1) * 2) a(const float *__restrict__ x, pair<int, 3> p,
                                                                   unsigned n) {}
    template <int N> __global__ void __launch_bounds__(64) b(float2* const y) {}
    __global__ void c() {}"""
    assert signatures(code) == {"a": [("x", True), ("p", None), ("n", False)], "b": [("y", True)], "c": []}


@pytest.mark.usefixtures("tools")
def test_pointers_of_other_names_are_known_as_such() -> None:
    code = """
#define OUT float*
typedef unsigned long long word;
using in = const float*;
extern "C" __global__ void kernel(in x, OUT y, float z[4], word n, size_t m) { y[0] = x[n] + z[m]; }
extern "C" __global__ void plain(const float* x, float* y) { y[0] = x[0]; }"""
    kernels = Module(code, arch=80).kernels
    assert [(p.name, p.kind) for p in kernels["kernel"].parameters] == [
        ("x", "pointer"), ("y", "pointer"), ("z", "pointer"), ("n", "i64"), ("m", "i64")]
    assert [(p.name, p.kind) for p in kernels["plain"].parameters] == [("x", "pointer"), ("y", "pointer")]


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(("arguments", "message"), [
    ((np.uint64(0),), r"takes 2 arguments \(y, n\), got 1"),
    ((np.uint64(0), np.int64(3)), "n is of kind i32 and has 4 bytes, got .*3.* of 8"),
    ((np.float32(0), np.int32(3)), "y is of kind pointer and has 8 bytes")])
def test_wrong_arguments(arguments: tuple[Any, ...], message: str) -> None:
    fill = kernel('extern "C" __global__ void kernel(float* y, int n) { if (n > 5) *y = n; }')
    with pytest.raises(TypeError, match=message):
        fill.launch((1, 1, 1), (1, 1, 1), arguments)
    with pytest.raises(ValueError, match="order is 'backward'; it must be one of forward, reverse, shuffled"):
        fill.launch((1, 1, 1), (1, 1, 1), (np.uint64(0), np.int32(0)), order="backward")


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("check", [False, True])
def test_trace(check: bool) -> None:
    code = """
extern "C" __global__ void kernel(const float2* x, float* y, int n)
{
    __shared__ float tile[40];
#pragma unroll 1
    for (int k = 0; k < n; ++k) {
        tile[threadIdx.x] = x[threadIdx.x + 40 * k].x; __syncthreads(); }
    y[threadIdx.x + 40 * blockIdx.x] = tile[threadIdx.x];
}"""
    x, y = np.arange(160, dtype=np.float32).reshape(80, 2), np.zeros(120, np.float32)
    copy = kernel(code, check=check)
    addresses = [np.uint64(a.ctypes.data) for a in (x, y)]
    regions = [Region(a.ctypes.data, a.nbytes, "a") for a in (x, y)]
    accesses = copy.trace((3, 1, 1), (40, 1, 1), [*addresses, np.int32(2)], regions=regions, of_block=(2, 0, 0))
    base_x, base_y = x.ctypes.data, y.ctypes.data
    of_33 = [a for a in accesses if (a.warp, a.lane) == (1, 1)]
    assert of_33 == [
        Access(6, "global", False, 4, 1, 0, 1, base_x + 8 * 33, "test.cu"),
        Access(6, "shared", True, 4, 1, 0, 1, 4 * 33, "test.cu"),
        Access(6, "global", False, 4, 1, 1, 1, base_x + 8 * 73, "test.cu"),
        Access(6, "shared", True, 4, 1, 1, 1, 4 * 33, "test.cu"),
        Access(7, "shared", False, 4, 1, 0, 1, 4 * 33, "test.cu"),
        Access(7, "global", True, 4, 1, 0, 1, base_y + 4 * (80 + 33), "test.cu")]
    assert len(accesses) == 40 * len(of_33)
    np.testing.assert_array_equal(y[80:], x[40:, 0])
    assert not y[:80].any()  # the other blocks did not run


def test_the_parser_gives_inner_names_a_meaning_of_their_own() -> None:
    text = """
.version 9.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.visible .entry kernel(.param .u64 .ptr .align 1 kernel_param_0, .param .align 4 .b8 kernel_param_1[12])
.maxntid 64, 2, 1
{
    .reg .pred %p<2>;
    .reg .b32 %r<3>;
    .loc 1 7 3, function_name $L__info, inlined_at 1 9 5
    mov.u32 %r1, %tid.x;  // a comment; with a semicolon
    { .reg .pred %p1; setp.ne.u32 %p1, %r1, -3; @!%p1 bra $L__BB0_1; }
$L__BB0_1: ld.shared.v2.f32 {%r1, _}, [dynamic+8];
    .loc 2 0 0
    ret;
}
.file 1 "/somewhere/a.cu"
.file 2 "/somewhere/b.cuh"
"""
    function, = ptx.parse(text).functions
    assert (function.name, function.entry, function.max_threads) == ("kernel", True, 128)
    assert [(p.pointer, p.nbytes, p.alignment) for p in function.parameters] == [(True, 8, 8), (False, 12, 4)]
    move, compare, branch, label, load, ret = function.body
    assert isinstance(compare, ptx.Instruction) and isinstance(branch,
                                                               ptx.Instruction) and isinstance(load, ptx.Instruction)
    inner = compare.operands[0]
    assert isinstance(inner, ptx.Register) and inner.name not in ("%p0",
                                                                  "%p1") and function.registers[inner.name] == "pred"
    assert branch.guard == ptx.Register(inner.name, negated=True)
    assert compare.operands[1:] == (ptx.Register("%r1"), ptx.Integer(-3))
    assert label == ptx.Label("$L__BB0_1")
    assert load.operands == (ptx.Vector((ptx.Register("%r1"), ptx.Symbol("_"))), ptx.Address(ptx.Symbol("dynamic"), 8))
    assert [str(i.location) for i in (move, load, ret) if isinstance(i,
                                                                     ptx.Instruction)] == ["a.cu:7", "a.cu:7", "a.cu:7"]


@pytest.mark.usefixtures("tools")
def test_launches_from_several_threads_at_once() -> None:
    """Two devices have a queue each, and their launches may overlap: nothing of one may show in the other."""
    code = """
extern "C" __global__ void kernel(const int* x, int* y, int rounds)
{
    __shared__ int tile[64];
    int i = threadIdx.x, sum = 0;
    for (int k = 0; k < rounds; ++k) {
        tile[i] = x[i] + k;
        __syncthreads();
        sum += tile[63 - i];
        __syncthreads();
    }
    y[i] = sum;
}"""
    checked, fast = kernel(code), kernel(code, check=False)
    x = [np.arange(64, dtype=np.int32) * (1 + i) for i in range(4)]
    y = [np.zeros(64, np.int32) for _ in x]

    def run(i: int) -> None:
        launch(checked if i % 2 else fast, 1, 64, x[i], y[i], np.int32(500), order=ORDERS[i % 3])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    for source, result in zip(x, y, strict=True):
        assert result.tolist() == (500 * source[::-1] + 500 * 499 // 2).tolist()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "file"))
    with pytest.raises(RuntimeError, match="cannot keep what it builds in .*file.* set TINYCONV_CACHE to a folder"):
        Module('extern "C" __global__ void kernel(int* y) { y[0] = 1; }')
