"""Every instruction does what PTX says.

Each case is a kernel that applies one line of CUDA C++ or PTX to every element of three arrays, and a NumPy (or Python)
formula for the same.  All cases are compiled as one file.  Results are compared bit for bit: PTX leaves nothing open.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinyconv.emulator.module import Module
from tinyconv.emulator.operation import TranslationError

from .runner import kernel, launch

pytestmark = pytest.mark.usefixtures("tools")

_CPP = {"u4": "unsigned", "i4": "int", "u8": "unsigned long long", "i8": "long long", "f4": "float", "f8": "double"}
_CONSTRAINT = {"u4": "r", "i4": "r", "u8": "l", "i8": "l", "f4": "f", "f8": "d"}


@dataclass(frozen=True)
class Case:
    name: str
    line: str  # of CUDA C++, setting y from a, b and c
    source: str  # NumPy's type of a, b and c
    result: str  # and of y
    formula: Callable[..., Any]  # of Python ints where the source is an integer, else of NumPy arrays


def ptx(instruction: str, source: str, formula: Callable[..., Any], result: str | None = None, count: int = 2,
        name: str | None = None) -> Case:
    """A case of one PTX instruction: its sources are a, b and c."""
    result = result or source
    operands = ", ".join(f"%{i + 1}" for i in range(count))
    inputs = ", ".join(f'"{_CONSTRAINT[source]}"({letter})' for letter in "abc"[:count])
    line = f'asm("{instruction} %0, {operands};" : "={_CONSTRAINT[result]}"(y) : {inputs});'
    return Case(name or instruction.replace(".", "_"), line, source, result, lambda *x: formula(*x[:count]))


def cpp(name: str, expression: str, source: str, formula: Callable[..., Any], result: str | None = None) -> Case:
    return Case(name, f"y = {expression};", source, result or source, formula)


_LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
_MODES = {"rn": 0, "rm": 0x400, "rp": 0x800, "rz": 0xC00} if platform.machine() == "x86_64" else \
    {"rn": 0, "rp": 0x400000, "rm": 0x800000, "rz": 0xC00000}


def rounded(operation: Callable[..., np.ndarray], mode: str, kind: type = np.float32) -> Callable[..., np.ndarray]:
    """``operation`` in long double, then as ``kind``, all in the processor's own rounding mode.  Two roundings in one
    direction are as good as one; in mode rn the numbers here are such that the first is exact."""
    def compute(*x: np.ndarray) -> np.ndarray:
        wide = [v.astype(np.longdouble) for v in x]
        _LIBM.fesetround(_MODES[mode])
        try:
            return operation(*wide).astype(kind)
        finally:
            _LIBM.fesetround(0)
    return compute


def minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """PTX's: the other operand if one is NaN, and -0 below +0."""
    smaller = np.where((a < b) | ((a == b) & np.signbit(a)), a, b)
    return np.where(np.isnan(a), b, np.where(np.isnan(b), a, smaller))


def to_int32(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), 0, np.clip(x.astype(np.float64), -2.0 ** 31, 2.0 ** 31 - 1)).astype(np.int32)


def signed(value: int, bits: int = 32) -> int:
    return (value & (1 << bits) - 1) - (1 << bits if value >> (bits - 1) & 1 else 0)


def field(value: int, start: int, length: int, is_signed: bool) -> int:
    """bfe of PTX, bit by bit, as its manual has it."""
    start, length = start & 255, length & 255
    sign = value >> min(start + length - 1, 31) & 1 if is_signed and length else 0
    return sum((value >> (start + i) & 1 if i < length and start + i < 32 else sign) << i for i in range(32))


def permuted(a: int, b: int, selector: int) -> int:
    digits = (a | b << 32).to_bytes(8, "little")
    chosen = [(digits[s & 7], s & 8) for s in (selector >> 4 * i & 15 for i in range(4))]
    return int.from_bytes([(255 if d & 128 else 0) if sign else d for d, sign in chosen], "little")


def tf32(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        scale = np.spacing(np.abs(x.astype(np.float64)).astype(np.float32)).astype(np.float64) * 2 ** 13
        rounded = np.trunc(np.abs(x) / scale + 0.5) * scale
    return np.where(np.isfinite(x), np.copysign(rounded, x), x).astype(np.float32)


_U, _I = 0xFFFFFFFF, 1 << 31
CASES = [
    # integers: Python's are exact, and the result keeps its low bits
    cpp("add_sub", "a + b - c", "i4", lambda a, b, c: a + b - c),
    cpp("mul", "a * b", "i4", lambda a, b, c: a * b),
    cpp("mul_long", "a * b + c", "i8", lambda a, b, c: a * b + c),
    ptx("mul.hi.s32", "i4", lambda a, b: a * b >> 32),
    ptx("mul.hi.u32", "u4", lambda a, b: a * b >> 32),
    ptx("mul.hi.s64", "i8", lambda a, b: a * b >> 64),
    ptx("mul.hi.u64", "u8", lambda a, b: a * b >> 64),
    ptx("mul.wide.s32", "i4", lambda a, b: a * b, "i8"),
    ptx("mul.wide.u32", "u4", lambda a, b: a * b, "u8"),
    ptx("mad.lo.s32", "i4", lambda a, b, c: a * b + c, count=3),
    ptx("mad.hi.u32", "u4", lambda a, b, c: (a * b >> 32) + c, count=3),
    cpp("mad_wide", "(long long)(int)a * (int)b + c", "i8", lambda a, b, c: signed(a) * signed(b) + c),
    cpp("mul_short", "(short)a * (short)b", "i4", lambda a, b, c: signed(a, 16) * signed(b, 16)),
    cpp("div", "b ? a / b : 0", "i4", lambda a, b, c: int(np.sign(a) * np.sign(b)) * (abs(a) // abs(b)) if b else 0),
    cpp("rem", "b ? a % b : 0", "i4", lambda a, b, c: int(np.sign(a)) * (abs(a) % abs(b)) if b else 0),
    cpp("div_long", "b ? a / b : 0", "u8", lambda a, b, c: a // b if b else 0),
    cpp("rem_long", "b ? a % b : 0", "u8", lambda a, b, c: a % b if b else 0),
    ptx("abs.s32", "i4", abs, count=1),
    ptx("neg.s64", "i8", lambda a: -a, count=1),
    ptx("min.s32", "i4", min), ptx("max.s32", "i4", max), ptx("min.u64", "u8", min), ptx("max.u32", "u4", max),
    ptx("sad.s32", "i4", lambda a, b, c: abs(a - b) + c, count=3),
    ptx("and.b32", "u4", lambda a, b: a & b), ptx("or.b64", "u8", lambda a, b: a | b),
    ptx("xor.b32", "u4", lambda a, b: a ^ b),
    ptx("not.b32", "u4", lambda a: ~a, count=1), ptx("cnot.b32", "u4", lambda a: a == 0, count=1),
    ptx("shl.b32", "u4", lambda a, b: a << b if b < 32 else 0),
    ptx("shr.u32", "u4", lambda a, b: a >> b if b < 32 else 0),
    ptx("shr.s32", "i4", lambda a, b: a >> min(b & _U, 31)),
    cpp("shift_long", "a >> (b & 63)", "i8", lambda a, b, c: a >> (b & 63)),
    ptx("shf.l.wrap.b32", "u4", lambda a, b, c: (b << 32 | a) << (c & 31) >> 32, count=3),
    ptx("shf.r.wrap.b32", "u4", lambda a, b, c: (b << 32 | a) >> (c & 31), count=3),
    ptx("shf.l.clamp.b32", "u4", lambda a, b, c: (b << 32 | a) << min(c, 32) >> 32, count=3),
    ptx("shf.r.clamp.b32", "u4", lambda a, b, c: (b << 32 | a) >> min(c, 32), count=3),
    ptx("bfe.u32", "u4", lambda a, b, c: field(a, b, c, False), count=3),
    ptx("bfe.s32", "i4", lambda a, b, c: field(a & _U, b, c, True), count=3),
    Case("bfi", 'asm("bfi.b32 %0, %1, %2, %3, 7;" : "=r"(y) : "r"(a), "r"(b), "r"(c & 31));', "u4", "u4",
         lambda a, b, c: b & ~(127 << (c & 31)) | (a & 127) << (c & 31)),
    ptx("prmt.b32", "u4", permuted, count=3),
    ptx("popc.b32", "u4", lambda a: a.bit_count(), count=1), ptx("popc.b64", "u8", lambda a: a.bit_count(), "u4", 1),
    ptx("clz.b32", "u4", lambda a: 32 - a.bit_length(), count=1),
    ptx("clz.b64", "u8", lambda a: 64 - a.bit_length(), "u4", 1),
    ptx("brev.b32", "u4", lambda a: int(f"{a:032b}"[::-1], 2), count=1),
    ptx("bfind.u32", "u4", lambda a: a.bit_length() - 1, count=1),
    ptx("bfind.s32", "i4", lambda a: (a if a >= 0 else ~a).bit_length() - 1, "u4", 1),
    ptx("bfind.shiftamt.u32", "u4", lambda a: 32 - a.bit_length() if a else -1, count=1),
    cpp("lop3", "(a & b) ^ (c | ~a)", "u4", lambda a, b, c: (a & b) ^ (c | ~a)),
    Case("lop3_all", 'asm("lop3.b32 %0, %1, %2, %3, 0x5a;" : "=r"(y) : "r"(a), "r"(b), "r"(c));', "u4", "u4", lambda a,
         b, c: a ^ c),
    cpp("select", "a < b ? c : a", "i4", lambda a, b, c: c if a < b else a),
    cpp("select_unsigned", "a < b ? c : a", "u4", lambda a, b, c: c if a < b else a),
    Case("slct", 'asm("slct.s32.s32 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(c));', "i4", "i4", lambda a, b,
         c: a if c >= 0 else b),
    Case("set", 'asm("set.lt.u32.s32 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));', "i4", "u4", lambda a, b, c: -(a < b)),
    Case("setp_and",
         'asm("{.reg .pred p, q; setp.gt.s32 q, %3, 0; setp.lt.and.s32 p, %1, %2, q; selp.u32 %0, 1, 0, p;}"'
         ' : "=r"(y) : "r"(a), "r"(b), "r"(c));', "i4", "u4", lambda a, b, c: a < b and c > 0),
    Case("setp_two", 'asm("{.reg .pred p, q, r; setp.gt.s32 r, %3, 0; setp.lt.xor.s32 p|q, %1, %2, !r;'
         ' selp.u32 %0, 2, 0, p;'
         ' @q add.u32 %0, %0, 1;}" : "=&r"(y) : "r"(a), "r"(b), "r"(c));', "i4", "u4",
         lambda a, b, c: 2 * ((a < b) != (c <= 0)) + ((a >= b) != (c <= 0))),
    # numbers of two and of three words: what the first add leaves behind, the next takes up
    Case("add_carry", 'asm("{.reg .u32 l, h; add.cc.u32 l, %1, %2; addc.cc.u32 h, %1, %3; addc.u32 %0, h, h;}"'
         ' : "=r"(y) : "r"(a), "r"(b), "r"(c));', "u4", "u4",
         lambda a, b, c: 2 * (s := a + c + (a + b >> 32)) + (s >> 32)),
    Case("sub_borrow", 'asm("{.reg .u64 l, h; sub.cc.u64 l, %1, %2; subc.cc.u64 h, %1, %3; subc.u64 %0, h, %2;}"'
         ' : "=l"(y) : "l"(a), "l"(b), "l"(c));', "u8", "u8",
         lambda a, b, c: (d := a - c - (a < b)) - b - (d < 0)),
    Case("mad_carry", 'asm("{.reg .u32 l; mad.lo.cc.u32 l, %1, %2, %3; madc.hi.u32 %0, %1, %2, %3;}"'
         ' : "=r"(y) : "r"(a), "r"(b), "r"(c));', "u4", "u4",
         lambda a, b, c: (a * b >> 32) + c + ((a * b & _U) + c >> 32)),
    cpp("narrow", "(signed char)a + (unsigned short)b", "i4", lambda a, b, c: signed(a, 8) + (b & 0xFFFF)),
    Case("sat", 'asm("cvt.sat.s8.s32 %0, %1;" : "=r"(y) : "r"(a));', "i4", "i4", lambda a, b,
         c: min(max(a, -128), 127)),
    cpp("halves", "__double2hiint(__hiloint2double(a, b)) ^ __double2loint(__hiloint2double(c, a))", "i4", lambda a, b,
        c: a ^ a),
    # floating point: NumPy's arithmetic is IEEE 754's
    ptx("add.f32", "f4", np.add), ptx("sub.f64", "f8", np.subtract), ptx("mul.f32", "f4", np.multiply),
    ptx("div.rn.f32", "f4", np.divide), ptx("div.rn.f64", "f8", np.divide),
    ptx("rcp.rn.f32", "f4", lambda a: np.float32(1) / a, count=1),
    ptx("sqrt.rn.f32", "f4", np.sqrt, count=1), ptx("sqrt.rn.f64", "f8", np.sqrt, count=1),
    ptx("neg.f32", "f4", np.negative, count=1), ptx("abs.f64", "f8", np.abs, count=1),
    ptx("copysign.f32", "f4", lambda a, b: np.copysign(b, a)),
    ptx("min.f32", "f4", minimum), ptx("max.f32", "f4", lambda a, b: -minimum(-a, -b)),
    ptx("max.f64", "f8", lambda a, b: -minimum(-a, -b)),
    ptx("min.NaN.f32", "f4", lambda a, b: np.where(np.isnan(a + b) & (np.isnan(a) | np.isnan(b)), np.float32(np.nan),
                                                   minimum(a, b))),
    *(ptx(f"{name}.{mode}.f32", "f4", rounded(operation, mode), count=count)
      for name, operation, count in (("add", np.add, 2), ("mul", np.multiply, 2), ("fma", lambda a, b, c: a * b + c, 3))
      for mode in ("rn", "rz", "rm", "rp")),
    ptx("fma.rn.ftz.f32", "f4", lambda a, b, c: flush(rounded(lambda a, b, c: a * b + c,
                                                              "rn")(flush(a), flush(b), flush(c))), count=3),
    ptx("add.ftz.f32", "f4", lambda a, b: flush(flush(a) + flush(b))),
    ptx("add.sat.f32", "f4", lambda a, b: np.where((s := a + b) > 0, np.minimum(s, np.float32(1)), np.float32(0))),
    cpp("compare", "(a < b) + 2 * (a == b) + 4 * (a != b) + 8 * (a >= b)", "f4",
        lambda a, b, c: (a < b) + 2 * (a == b) + 4 * (a != b) + 8 * (a >= b), "u4"),
    *(Case(f"setp_{name}", f'asm("{{.reg .pred p; setp.{name}.f32 p, %1, %2; selp.u32 %0, 1, 0, p;}}"'
           ' : "=r"(y) : "f"(a), "f"(b));',
           "f4", "u4", formula) for name, formula in (
        ("ltu", lambda a, b, c: ~(a >= b)), ("equ", lambda a, b,
                                             c: (a == b) | np.isnan(a + b) & (np.isnan(a) | np.isnan(b))),
        ("ne", lambda a, b, c: (a < b) | (a > b)), ("neu", lambda a, b, c: a != b), ("geu", lambda a, b, c: ~(a < b)),
        ("num", lambda a, b, c: ~(np.isnan(a) | np.isnan(b))), ("nan", lambda a, b, c: np.isnan(a) | np.isnan(b)))),
    *(Case(f"testp_{name}", f'asm("{{.reg .pred p; testp.{name}.f32 p, %1; selp.u32 %0, 1, 0, p;}}" : "=r"(y)'
           ' : "f"(a));', "f4", "u4", formula) for name, formula in (
        ("finite", lambda a, b, c: np.isfinite(a)), ("notanumber", lambda a, b, c: np.isnan(a)),
        ("normal", lambda a, b, c: np.isfinite(a) & (np.abs(a) >= np.float32(2.0 ** -126))),
        ("subnormal", lambda a, b, c: (a != 0) & (np.abs(a) < np.float32(2.0 ** -126))))),
    # conversions
    *(ptx(f"cvt.{mode}.s32.f32", "f4", lambda a, f=function: to_int32(f(a)), "i4", 1)
      for mode, function in (("rni", np.rint), ("rzi", np.trunc), ("rmi", np.floor), ("rpi", np.ceil))),
    cpp("to_unsigned", "(unsigned)a", "f4", lambda a, b, c: np.where(np.isnan(a), 0,
                                                                     np.clip(np.trunc(a.astype("f8")), 0,
                                                                             2.0 ** 32 - 1)), "u4"),
    ptx("cvt.rni.f32.f32", "f4", np.rint, count=1), ptx("cvt.rmi.f64.f64", "f8", np.floor, count=1),
    ptx("cvt.rn.f32.f64", "f8", lambda a: a.astype("f4"), "f4", 1),
    ptx("cvt.f64.f32", "f4", lambda a: a.astype("f8"), "f8", 1),
    ptx("cvt.rz.f32.f64", "f8", lambda a: rounded(lambda x: x, "rz")(a), "f4", 1),
    ptx("cvt.sat.f32.f32", "f4", lambda a: np.where(a > 0, np.minimum(a, np.float32(1)), np.float32(0)), count=1),
    cpp("from_int", "a", "i4", lambda a, b, c: np.float32(a), "f4"),
    cpp("from_long", "a", "u8", lambda a, b, c: float(a), "f8"),
    Case("tf32", 'asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(*(unsigned*)&y) : "f"(a));', "f4", "f4", lambda a, b,
         c: tf32(a)),
]


def flush(x: np.ndarray) -> np.ndarray:
    """Subnormal numbers become zeros of their sign."""
    return np.where(np.abs(x) < np.float32(2.0 ** -126), np.copysign(np.float32(0), x), x)


def _numbers(kind: str) -> np.ndarray:
    """Numbers of all sorts, the remarkable ones first."""
    random = np.random.default_rng(7)
    if kind[0] == "f":
        # Powers from 2^-8 to 2^8 next to the special values, so that a * b + c is exact in a long double of 64 bits.
        special = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3e9, -3e9, np.inf, -np.inf, np.nan, 1e-40, -1e-40]
        usual = (random.integers(-2 ** 20, 2 ** 20, 49) * 2.0 ** random.integers(-28, -12, 49))
        return np.concatenate([special, usual]).astype(kind)
    bits = 8 * int(kind[1])
    special = [0, 1, 2, 31, 32, 33, 255, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2 ** bits - 1, 2 ** bits - 5]
    usual = random.integers(0, 2 ** 63, 53, dtype=np.uint64) >> random.integers(0, bits, 53).astype(np.uint64)
    return np.array([*special, *(int(u) % 2 ** bits for u in usual)], f"u{kind[1]}").view(kind)


def _source(cases: list[Case]) -> str:
    kernels = [f'extern "C" __global__ void {c.name}(const {_CPP[c.source]}* x, {_CPP[c.result]}* out, int n)\n'
               f"{{ int i = threadIdx.x + blockIdx.x * 64, j = blockIdx.x; {_CPP[c.source]} a = x[threadIdx.x], "
               f"b = x[j], c = x[(threadIdx.x + 7 * j) % n]; {_CPP[c.result]} y; {c.line} out[i] = y; }}\n"
               for c in cases]
    return "\n".join(kernels)


@pytest.fixture(scope="module", params=[80, 120], ids=["sm_80", "sm_120"])
def module(request: pytest.FixtureRequest) -> Module:
    """NVRTC writes PTX in another way for sm_100 and later: integers and floats share their registers."""
    return Module(_source(CASES), ("-std=c++17", "-fmad=false"), file="cases.cu", arch=request.param, check=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_instruction(case: Case, module: Module) -> None:
    x = _numbers(case.source)
    y = np.zeros((x.size, x.size), case.result)
    launch(module.kernels[case.name], x.size, x.size, x, y, np.int32(x.size))
    column, row = np.meshgrid(np.arange(x.size), np.arange(x.size))
    a, b, c = x[column], x[row], x[(column + 7 * row) % x.size]
    if case.source[0] == "f":
        with np.errstate(all="ignore"):
            expected = np.asarray(case.formula(a, b, c)).astype(case.result)
    else:
        expected = _by_element(case, a, b, c)
    same = (y == expected) & (np.signbit(y) == np.signbit(expected)) if case.result[0] == "f" else y == expected
    same |= (y != y) & (expected != expected)  # one NaN is as good as another
    assert same.all(), [(v[~same][0], y[~same][0], expected[~same][0]) for v in (a, b, c)]


def _by_element(case: Case, *x: np.ndarray) -> np.ndarray:
    values = [case.formula(*(int(v) for v in numbers)) for numbers in zip(*(v.ravel() for v in x), strict=True)]
    if case.result[0] == "f":
        return np.array(values, case.result).reshape(x[0].shape)
    bits = 8 * int(case.result[1])
    return np.array([int(v) & (1 << bits) - 1 for v in values],
                    f"u{case.result[1]}").view(case.result).reshape(x[0].shape)


# The functions that the hardware approximates: the emulator must be as close to the truth as CUDA's manual promises.
@pytest.mark.parametrize(("expression", "function", "units"), [
    ("__expf(x[i])", np.exp, 4), ("expf(x[i])", np.exp, 2), ("logf(x[i])", np.log, 2), ("__log2f(x[i])", np.log2, 2),
    ("powf(x[i], 0.75f)", lambda x: x ** 0.75, 4), ("__fdividef(1.0f, x[i])", lambda x: 1 / x, 2),
    ("rsqrtf(x[i])", lambda x: x ** -0.5, 2),
    ("tanhf(x[i])", np.tanh, 2), ("sinf(x[i])", np.sin, 2), ("cosf(x[i])", np.cos, 2),
    ("exp(double(x[i]))", np.exp, 1)])
def test_mathematics(expression: str, function: Callable[..., Any], units: float) -> None:
    x = np.linspace(0.01, 5, 1000, dtype=np.float32)
    y = np.zeros_like(x)
    code = f"""
extern "C" __global__ void kernel(const float* x, float* y)
{{
    int i = threadIdx.x + blockIdx.x * 125;
    y[i] = {expression};
}}"""
    launch(kernel(code, check=False), 8, 125, x, y)
    expected = function(x.astype(np.float64))
    # The last bit of a result near 1 is 2^-23; sin, cos and log pass through zero, where the error stays absolute.
    assert np.abs(y - expected).max() <= units * 2.0 ** -23 * max(1, np.abs(expected).max())


def test_memory_of_every_width_and_kind() -> None:
    code = """
struct Pair { short low; float high; };
__constant__ float table[4] = {1, 2, 4, 8};
__device__ int counter = 5;
extern "C" __global__ void kernel(const char* c, const unsigned short* s, const double2* d, const float4* q, Pair pair,
                                  bool flag, float* y)
{
    __shared__ float4 tile[8];
    int i = threadIdx.x;
    float local[5];
    for (int j = 0; j < 5; ++j) local[(i + j) % 5] = j + (flag ? 100 : 0);
    tile[i] = q[i];
    __syncthreads();
    float4 v = tile[7 - i];
    y[i] = c[i] + s[i] + d[i].x * d[i].y + v.x + v.y * 2 + v.z * 3 + v.w * 4 + pair.low * pair.high + table[i % 4]
           + local[c[i] & 3];
    if (i == 0) y[8] = counter;
}"""
    c, s = np.arange(-4, 4, dtype=np.int8), np.arange(65530, 65538, dtype=np.uint32).astype(np.uint16)
    d, q = np.arange(16, dtype=np.float64).reshape(8, 2), np.arange(32, dtype=np.float32).reshape(8, 4)
    pair = np.zeros((), np.dtype([("low", "i2"), ("high", "f4")], align=True))
    pair["low"], pair["high"] = -3, 0.5
    y = np.zeros(9, np.float32)
    launch(kernel(code), 1, 8, c, s, d, q, pair[()], np.bool_(True), y)
    i = np.arange(8)
    v = q[7 - i]
    local = (((c.astype(int) & 3) - i) % 5) + 100
    expected = c + s.astype(int) + d[:, 0] * d[:, 1] + v @ [1, 2, 3, 4] - 1.5 + 2.0 ** (i % 4) + local
    np.testing.assert_array_equal(y[:8], expected.astype(np.float32))
    assert y[8] == 5


def test_shared_memory_of_the_file_of_the_kernel_and_of_the_launch() -> None:
    code = """
extern __shared__ float4 dynamic[];
__shared__ int of_the_file[2];
__device__ __noinline__ int swap(int i)
{
    __shared__ int of_the_function[3];
    of_the_function[i] = of_the_file[1 - i] = i + 5;
    __syncthreads();
    return of_the_function[1 - i];
}
extern "C" __global__ void kernel(float* y)
{
    __shared__ char own[5];
    int i = threadIdx.x, swapped = swap(i);
    own[i + 3] = i + 1;
    dynamic[1 - i] = make_float4(swapped, 0, 0, i);
    __syncthreads();
    y[i] = of_the_file[i] * 1000 + own[4 - i] * 100 + dynamic[i].x + dynamic[i].w * 10;
}
extern "C" __global__ void alone(float* y)
{
    __shared__ float own[4];
    own[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = own[1 - threadIdx.x];
}"""
    both, alone, y = kernel(code), kernel(code, "alone"), np.zeros(2, np.float32)
    launch(both, 1, 2, y, shared=32)
    # Thread 0 sees what thread 1 wrote: 6 in the file's array, 2 in the kernel's, 5 and 1 in the dynamic one.
    assert y.tolist() == [6215, 5106]
    launch(alone, 1, 2, y)
    assert y.tolist() == [5106, 6215]
    # 8 bytes, 12 bytes and 5 bytes, and dynamic memory of float4 begins at a multiple of 16.
    assert (both.static_shared, alone.static_shared) == (32, 16)


@pytest.mark.parametrize("arch", [75, 80, 90, 120])
def test_functions_switches_and_loops(arch: int) -> None:
    """Functions that are not inlined, one of them recursive, and a switch that becomes a table of jumps."""
    code = """
__device__ __noinline__ int collatz(int n) { return n == 1 ? 0 : 1 + collatz(n % 2 ? 3 * n + 1 : n / 2); }
__device__ __noinline__ float3 polynomial(float x, const float* c) { return make_float3(c[0], c[1] * x, c[2] * x * x); }
extern "C" __global__ void kernel(const int* n, const float* c, int* steps, float* y)
{
    int i = threadIdx.x;
    steps[i] = collatz(n[i]);
    float3 p = polynomial(n[i], c);
    switch (i) {
    case 0: y[i] = p.x; break;
    case 1: y[i] = p.y + p.z; break;
    case 2: y[i] = p.z / p.y; break;
    case 3: y[i] = sqrtf(p.z); break;
    case 4: y[i] = p.x - p.y; break;
    case 5: y[i] = p.x * p.y; break;
    default: y[i] = i;
    }
}"""
    n, c = np.array([1, 2, 3, 6, 7, 27, 97], np.int32), np.array([1, 2, 4], np.float32)
    steps, y = np.zeros(7, np.int32), np.zeros(7, np.float32)
    launch(kernel(code, arch=arch), 1, 7, n, c, steps, y)
    assert steps.tolist() == [0, 1, 7, 8, 16, 111, 118]
    assert y.tolist() == [1, 4 + 16, 6, 12, 1 - 14, 54, 6]


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_atomics(order: str) -> None:
    code = """
extern "C" __global__ void kernel(int* i, unsigned* u, float* f, double* d)
{
    __shared__ int sum;
    int n = threadIdx.x + blockIdx.x * blockDim.x;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, n);
    atomicAdd(i, n); atomicMin(i + 1, n - 5); atomicMax(i + 2, n - 5); atomicExch(i + 3, 7);
    atomicAnd(u, ~(1u << n % 32)); atomicOr(u + 1, 1u << n % 32); atomicXor(u + 2, n);
    atomicInc(u + 3, 9); atomicDec(u + 4, 9);
    atomicAdd(f, 0.5f); atomicAdd(d, 0.25);
    int old = i[4], seen;
    do { seen = old; old = atomicCAS(i + 4, seen, seen + 2); } while (old != seen);
    __syncthreads();
    if (threadIdx.x == 0) i[5 + blockIdx.x] = sum;
}"""
    i, u = np.array([0, 0, 0, 0, 0, 0, 0], np.int32), np.array([2 ** 32 - 1, 0, 0, 0, 0], np.uint32)
    f, d = np.zeros(1, np.float32), np.zeros(1)
    launch(kernel(code, check=False), 2, 48, i, u, f, d, order=order)
    assert i.tolist() == [96 * 95 // 2, -5, 90, 7, 192, 48 * 47 // 2, 48 * 47 // 2 + 48 * 48]
    assert u.tolist() == [0, 2 ** 32 - 1, 0, 96 % 10, (10 - 96 % 10) % 10]
    assert (f[0], d[0]) == (48, 24)


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
@pytest.mark.parametrize("check", [False, True])
def test_warps(order: str, check: bool) -> None:
    code = """
extern "C" __global__ void kernel(const int* x, int* y)
{
    int i = threadIdx.x, v = x[i], *out = y + i * 12;
    out[0] = __shfl_sync(~0u, v, 5); out[1] = __shfl_up_sync(~0u, v, 3); out[2] = __shfl_down_sync(~0u, v, 4, 8);
    out[3] = __shfl_xor_sync(~0u, v, 16); out[4] = __ballot_sync(~0u, v % 2); out[5] = __any_sync(~0u, v == 40);
    out[6] = __all_sync(~0u, v >= 0); out[7] = __match_any_sync(~0u, v % 3); out[8] = __reduce_add_sync(~0u, v);
    out[9] = __reduce_max_sync(~0u, -v);
    if (i % 2) out[10] = __shfl_sync(0xaaaaaaaau, v, (i + 2) % 32 | 1);
    out[11] = __syncthreads_count(v > 50);
}"""
    x = np.random.default_rng(3).integers(0, 100, 64).astype(np.int32)
    y = np.zeros((64, 12), np.int32)
    launch(kernel(code, check=check), 1, 64, x, y, order=order)
    lane, warps = np.arange(32), x.reshape(2, 32)
    for w, out in zip(warps, y.reshape(2, 32, 12), strict=True):
        down = np.where(lane % 8 + 4 < 8, np.roll(w, -4), w)
        up = np.where(lane >= 3, np.roll(w, 3), w)
        ballot = np.int64(sum(int(v % 2) << i for i, v in enumerate(w))).astype(np.int32)
        match = [np.int64(sum(int(v % 3 == own % 3) << i for i, v in enumerate(w))).astype(np.int32) for own in w]
        expected = [w[[5] * 32], up, down, w[lane ^ 16], [ballot] * 32, [(w == 40).any()] * 32, [True] * 32, match,
                    [w.sum()] * 32,
                    [-w.min()] * 32, np.where(lane % 2, w[(lane + 2) % 32 | 1], 0), [(x > 50).sum()] * 32]
        np.testing.assert_array_equal(out, np.stack([np.asarray(e, np.int32) for e in expected], axis=1))


def test_what_the_compiler_rarely_writes() -> None:
    """A table of jumps, predicates that are voted on, spaces of pointers, reductions without a result."""
    code = """
extern "C" __global__ void kernel(unsigned* sum, unsigned* y)
{
    __shared__ unsigned tile[32];
    unsigned i = threadIdx.x, jump, space, *out = y + i * 10;
    asm volatile("{ table: .branchtargets ZERO, ONE, TWO;  brx.idx.uni %1, table;"
                 "  ZERO: mov.u32 %0, 100; bra.uni END;  ONE: mov.u32 %0, 101; bra.uni END;"
                 "  TWO: mov.u32 %0, 102;  END: }"
                 : "=r"(jump) : "r"(i % 3));
    asm volatile("{ .reg .pred p, q; isspacep.shared p, %1; isspacep.global q, %2; selp.u32 %0, 1, 0, p;"
                 "  @q add.u32 %0, %0, 2; }" : "=r"(space) : "l"(tile + i), "l"(y));
    asm volatile("prefetch.global.L1 [%0]; fence.acq_rel.gpu; red.global.add.u32 [%0], %1;"
                 :: "l"(sum), "r"(i) : "memory");
    int same;
    out[0] = jump; out[1] = space; out[2] = __ballot_sync(~0u, 1);
    out[3] = __syncthreads_and(i < 31); out[4] = __syncthreads_or(i == 31);
    out[5] = __match_all_sync(~0u, i / 32, &same) + same;
    out[6] = __match_all_sync(~0u, (unsigned long long)i << 40, &same) + same;
    out[7] = __reduce_or_sync(~0u, 1u << i % 7); out[8] = __reduce_min_sync(~0u, i + 3);
    asm volatile("{ .reg .pred p, q; setp.lt.u32 p, %1, 40; vote.sync.uni.pred q, p, -1; selp.u32 %0, 1, 0, q; }"
                 : "=r"(out[9]) : "r"(i));
    if (i == 5) asm volatile("exit;");
    atomicAdd(sum, 1);
}"""
    total, y = np.zeros(1, np.uint32), np.zeros((32, 10), np.uint32)
    launch(kernel(code), 1, 32, total, y)
    assert total[0] == 32 * 31 // 2 + 31
    assert y[:, 0].tolist() == [100 + i % 3 for i in range(32)]
    assert (y[:, 1:] == [3, 2 ** 32 - 1, 0, 1, 0, 0, 127, 3, 1]).all()


def test_what_lies_behind_shared_memory_is_not_shared() -> None:
    """Arrays of the host can lie there: which of them are a kernel's own must not hang on where malloc put them."""
    code = """
extern "C" __global__ void kernel(unsigned* y)
{
    __shared__ unsigned tile[32];
    asm volatile("{ .reg .pred p; isspacep.shared p, %1; selp.u32 %0, 1, 0, p; }"
                 : "=r"(y[threadIdx.x]) : "l"(tile + 8 * threadIdx.x));
}"""
    y = np.zeros(8, np.uint32)
    launch(kernel(code), 1, 8, y)
    assert y.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("instruction", "message"), [
    ("dp4a.u32.u32 %0, %1, %1, %1;", "instruction dp4a"), ("activemask.b32 %0;", "instruction activemask"),
    ("min.u32 %0, %1, %1, %1;", "number of operands"), ("mul.lo.cc.u32 %0, %1, %1;", "modifier .cc"),
    ("mov.u32 %0, %clock;", "form of its operands"), ("bar.sync 0; add.sat.s32 %0, %1, %1;", "modifier .sat")])
def test_what_the_emulator_does_not_know_is_named(instruction: str, message: str) -> None:
    code = f"""
extern "C" __global__ void kernel(unsigned* y)
{{
    unsigned x = threadIdx.x, z;
    asm volatile("{instruction.replace('%clock', '%%clock')}" : "=r"(z) : "r"(x));
    y[x] = z;
}}"""
    with pytest.raises(TranslationError, match=f": kernel: the emulator does not know the {message}") as error:
        kernel(code)
    assert "test.cu:4" in str(error.value) or "test.cu:5" in str(error.value)


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(TranslationError, match="function vprintf, which the file does not define"):
        kernel('extern "C" int printf(const char*, ...);'
               'extern "C" __global__ void kernel(int* y) { printf("%d", y[0]); }')


def test_sines_of_large_doubles() -> None:
    """Their reduction needs numbers of several words, in a function with a table and a thread-local array."""
    x = np.array([0.5, -3, 1e5, 1e17, -3e200, 1.7e308])
    y = np.zeros_like(x)
    launch(kernel('extern "C" __global__ void kernel(const double* x, double* y)'
                  '{ y[threadIdx.x] = sin(x[threadIdx.x]); }'), 1, len(x), x, y)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)


def test_nan_as_an_integer() -> None:
    """PTX, cvt: 0; where one side has 64 bits, the top bit alone."""
    code = """
extern "C" __global__ void kernel(float x, double d, long long* y)
{
    y[0] = __float2int_rz(x); y[1] = __float2ll_rz(x); y[2] = __float2ull_rz(x);
    y[3] = __double2int_rz(d); y[4] = __double2uint_rz(d); y[5] = __double2ll_rz(d);
}"""
    y = np.zeros(6, np.int64)
    launch(kernel(code), 1, 1, np.float32(np.nan), np.float64(np.nan), y)
    assert y.tolist() == [0, -2 ** 63, -2 ** 63, -2 ** 31, 2 ** 31, -2 ** 63]
