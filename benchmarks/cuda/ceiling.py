"""How fast the hot loop could run at most: a bound from three of the SM's limits.

One sub-partition of an SM issues one instruction of one warp per cycle, has a quarter of the SM's floating-point lanes,
and a quarter of its shared memory's bandwidth.  So one warp, in one turn of the loop, takes of its sub-partition

    issue    one cycle per instruction, of whatever kind, also if its predicate switches it off;
    fp32     32 threads / (lanes / 4) cycles per floating-point or integer-multiply instruction (twice that for FFMA2);
    shared   4 x 32 x bytes per thread / 128 cycles per access: 128 bytes (a *wavefront*) leave the SM's banks per
             cycle, for all four sub-partitions.  This takes all threads of a warp to want different bytes without
             bank conflicts; threads that read the same bytes need less, conflicts more (the emulator counts both);
    tensor   the multiply-adds of tensor instructions at the published rate, where there are any.

If enough warps are there to hide every delay, the largest of these is the time, and

    ceiling = (cycles that the multiply-adds alone would take) / (the largest)

is a share of the peak: of FP32, or of the tensor cores' TF32 in a loop that uses those.  On sm_90 and sm_100 the
published TF32 peak belongs to instructions of whole warp groups, which these kernels leave alone.  What is not in the
model: delays, caches, DRAM, the other pipes.  So a kernel may be slower than its ceiling for many reasons, and faster
for one only: that its threads read the same bytes of shared memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .architectures import PARTITIONS, SHARED_BYTES_PER_CYCLE, WARP, Architecture
from .sass import SHARED_ACCESSES, Instruction

_FP32_LANES = ("FFMA", "FADD", "FMUL", "FFMA32I", "FMUL32I", "FADD32I", "IMAD", "HFMA2")  # one turn of the lanes
_PACKED = ("FFMA2", "FADD2", "FMUL2")  # two turns


@dataclass(frozen=True)
class Ceiling:
    """``share`` of the peak, 0 without multiply-adds; ``cycles`` of a sub-partition per warp and turn, per limit."""

    share: float
    cycles: dict[str, float]

    @property
    def limiter(self) -> str:
        return max(self.cycles, key=lambda name: self.cycles[name])


def ceiling(architecture: Architecture, loop: Sequence[Instruction]) -> Ceiling:
    turn = WARP * PARTITIONS / architecture.fp32
    moved = sum(each.nbytes for each in loop if each.name in SHARED_ACCESSES)
    cycles = {"fp32": turn * sum(_turns(each) for each in loop), "issue": float(len(loop)),
              "shared": PARTITIONS * WARP * moved / SHARED_BYTES_PER_CYCLE}
    useful = turn * sum(each.fma for each in loop)
    if tensor := sum(each.tensor_fma for each in loop):
        useful = cycles["tensor"] = tensor * WARP * PARTITIONS / architecture.tf32
    slowest = max(cycles.values())
    return Ceiling(useful / slowest if slowest else 0.0, cycles)


def _turns(instruction: Instruction) -> int:
    return 2 if instruction.name in _PACKED else 1 if instruction.name in _FP32_LANES else 0
