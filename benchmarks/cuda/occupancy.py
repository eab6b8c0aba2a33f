"""How many blocks an SM holds at once, and what keeps it from holding more.

Each block needs room of four kinds, and the scarcest decides.  Warps of a block are spread over the four sub-partitions
of an SM, each with a quarter of the registers; a warp's registers are handed out 256 at a time, shared memory in units.
The rules are those of NVIDIA's occupancy calculator (``cuda_occupancy.h`` of the CUDA toolkit).
"""

from __future__ import annotations

from dataclasses import dataclass

from .architectures import PARTITIONS, REGISTERS, WARP, Architecture

_REGISTER_UNIT = 256


@dataclass(frozen=True)
class Occupancy:
    """``blocks`` per SM, 0 if not even one fits; ``share`` of the threads that an SM could hold; the ``limiter``."""

    blocks: int
    share: float
    limiter: str


def occupancy(architecture: Architecture, threads: int, registers: int, shared: int) -> Occupancy:
    """For blocks of ``threads`` threads of ``registers`` registers, and ``shared`` bytes, static and dynamic."""
    warps = -(-threads // WARP)
    limits = {"threads": architecture.threads // (warps * WARP),
              "blocks": architecture.blocks,
              "registers": _by_registers(warps, registers),
              "shared": _by_shared(architecture, shared)}
    limiter = min(limits, key=lambda name: limits[name])
    blocks = limits[limiter]
    return Occupancy(blocks, blocks * warps * WARP / architecture.threads, limiter)


def _by_registers(warps: int, registers: int) -> int:
    per_warp = _round_up(max(registers, 1) * WARP, _REGISTER_UNIT)
    if per_warp * _round_up(warps, PARTITIONS) > REGISTERS:  # what the hardware checks at a launch
        return 0
    return REGISTERS // PARTITIONS // per_warp * PARTITIONS // warps


def _by_shared(architecture: Architecture, shared: int) -> int:
    if shared > architecture.shared_per_block * 1024:
        return 0
    taken = _round_up(shared + architecture.shared_reserved, architecture.shared_unit)
    return architecture.shared * 1024 // taken if taken else architecture.blocks


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
