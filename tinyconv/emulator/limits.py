"""What a GPU of each architecture can hold: the figures of NVIDIA's table "Technical Specifications per Compute
Capability", for one typical card each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WARP = 32  # threads
MAX_THREADS = 1024  # per block
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2 ** 31 - 1, 65535, 65535)
STATIC_SHARED = 48 * 1024  # bytes per block that a kernel may have without asking
MAX_REGISTERS = 65536  # per block, in 32-bit registers
REGISTER_UNIT = 256  # a warp is given its registers in steps of this
MEMORY = 16 << 30  # bytes that an emulated device seems to have


@dataclass(frozen=True)
class Architecture:
    card: str
    multiprocessors: int
    shared_per_multiprocessor: int  # bytes
    shared_optin: int  # bytes of shared memory per block, once a kernel asked for more than 48 KiB
    threads_per_multiprocessor: int


ARCHITECTURES = {
    75: Architecture("T4", 40, 64 * 1024, 64 * 1024, 1024),
    80: Architecture("A100", 108, 164 * 1024, 163 * 1024, 2048),
    86: Architecture("A10", 72, 100 * 1024, 99 * 1024, 1536),
    89: Architecture("L4", 58, 100 * 1024, 99 * 1024, 1536),
    90: Architecture("H100", 132, 228 * 1024, 227 * 1024, 2048),
    100: Architecture("B200", 148, 228 * 1024, 227 * 1024, 2048),
    120: Architecture("RTX 5090", 170, 100 * 1024, 99 * 1024, 1536),
}


def properties(arch: int) -> dict[str, Any]:
    """What ``cupy.cuda.runtime.getDeviceProperties`` says of an emulated device; names and units are CUDA's."""
    it = ARCHITECTURES[arch]
    return {
        "name": f"emulated {it.card} (sm_{arch})".encode(), "major": arch // 10, "minor": arch % 10,
        "totalGlobalMem": MEMORY, "multiProcessorCount": it.multiprocessors, "warpSize": WARP,
        "maxThreadsPerBlock": MAX_THREADS, "maxThreadsPerMultiProcessor": it.threads_per_multiprocessor,
        "maxThreadsDim": MAX_BLOCK, "maxGridSize": MAX_GRID, "regsPerBlock": MAX_REGISTERS,
        "regsPerMultiprocessor": MAX_REGISTERS, "sharedMemPerBlock": STATIC_SHARED,
        "sharedMemPerBlockOptin": it.shared_optin, "sharedMemPerMultiprocessor": it.shared_per_multiprocessor,
        "l2CacheSize": 40 << 20, "unifiedAddressing": 1, "concurrentKernels": 1, "asyncEngineCount": 2,
    }


def registers_of(block: int, per_thread: int) -> int:
    """Registers that a block of ``block`` threads takes: each warp's, rounded up to what is handed out at a time."""
    per_warp = -(-per_thread * WARP // REGISTER_UNIT) * REGISTER_UNIT
    return -(-block // WARP) * per_warp
