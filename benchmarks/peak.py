"""What this machine can do at best, measured: the yardstick for GFLOP/s and GB/s.

Arithmetic: a loop of fused multiply-adds that never leaves the registers.  A core starts one or two vector FMAs a
cycle, and each takes four or five cycles, so at least ten must be under way at once: the loop has twelve accumulators.
(AVX2 has sixteen registers; twelve accumulators and two constants fit.)  It is written with LLVM vectors, so nothing
depends on the mood of an auto-vectoriser.

Memory: STREAM's copy (McCalpin 1995): y = x over arrays far larger than the caches, every byte read and every byte
written counted once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from . import timing

ACCUMULATORS = 12  # independent chains of multiply-adds
FLOAT = ir.FloatType()


@dataclass(frozen=True)
class Peak:
    """GFLOP/s (1e9 float32 operations, an FMA is two) on one core and on all, and GB/s (1e9 bytes) of a copy on all."""

    gflops_one_core: float
    gflops: float
    gbytes: float


def _vector_floats() -> int:
    """float32 numbers in the widest vector of this CPU: 16 (AVX-512), 8 (AVX), or 4 (SSE, NEON)."""
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


VECTOR = _vector_floats()


@intrinsic
def _fma_loop(typingctx, rounds):
    """Runs ``rounds`` times  v = v * 0.5 + 1  on each accumulator; returns their sum, so that none is optimised away.

    Each v stays near 2: no overflow, no denormal numbers, which some CPUs process more slowly."""

    def generate(context, builder, signature, args):
        vector = ir.VectorType(FLOAT, VECTOR)
        half, one = ir.Constant(vector, [0.5] * VECTOR), ir.Constant(vector, [1.0] * VECTOR)
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3),
                                             f"llvm.fma.v{VECTOR}f32")
        accumulators = []
        for i in range(ACCUMULATORS):  # variables that LLVM keeps in registers; equal ones it would merge
            start = ir.Constant(vector, [float(i * VECTOR + lane) for lane in range(VECTOR)])
            accumulators.append(cgutils.alloca_once_value(builder, start))
        with cgutils.for_range(builder, args[0]):
            for slot in accumulators:
                builder.store(builder.call(fma, [builder.load(slot), half, one]), slot)
        total = builder.load(accumulators[0])
        for slot in accumulators[1:]:
            total = builder.fadd(total, builder.load(slot))
        lanes = [builder.extract_element(total, ir.Constant(ir.IntType(32), lane)) for lane in range(VECTOR)]
        result = lanes[0]
        for lane in lanes[1:]:
            result = builder.fadd(result, lane)
        return result

    return numba.float32(numba.intp), generate


@numba.njit(nogil=True, parallel=True)
def _burn(rounds, sums):
    """The loop once for each element of ``sums``: as many threads as it has elements."""
    for i in numba.prange(sums.size):
        sums[i] = _fma_loop(rounds)


@numba.njit(nogil=True, parallel=True)
def _copy(x, y):
    for i in numba.prange(x.size):
        y[i] = x[i]


def _warm_best(run: Callable[[], object], seconds: float) -> float:
    """The shortest time (seconds) after a first run: a peak is what happens when nobody interferes."""
    run()
    return timing.quickest(run, seconds)


def fma_gflops(threads: int, seconds: float = 1.0, rounds: int = 1_000_000) -> float:
    """GFLOP/s of ``threads`` threads.  Each does ``rounds`` rounds of 2 * ACCUMULATORS * VECTOR operations: some 3 ms,
    long enough to forget the start of the threads, short enough to find a moment when nobody interferes."""
    sums = np.zeros(threads, np.float32)
    flops = 2.0 * ACCUMULATORS * VECTOR * rounds * threads
    return flops / _warm_best(lambda: _burn(rounds, sums), seconds) / 1e9


def copy_gbytes(seconds: float = 1.0, mebibytes: int = 256) -> float:
    """GB/s, read and written, of copying an array of this size on all threads."""
    x = np.ones(mebibytes << 18, np.float32)
    y = np.zeros_like(x)
    return 2 * x.nbytes / _warm_best(lambda: _copy(x, y), seconds) / 1e9


def better(a: Peak, b: Peak) -> Peak:
    """The higher value of each: whatever disturbs makes a peak lower, never higher."""
    return Peak(max(a.gflops_one_core, b.gflops_one_core), max(a.gflops, b.gflops), max(a.gbytes, b.gbytes))


def measure(seconds: float = 1.0) -> Peak:
    """Each of the three measured for about ``seconds``."""
    threads = numba.get_num_threads()
    return Peak(fma_gflops(1, seconds), fma_gflops(threads, seconds), copy_gbytes(seconds))
