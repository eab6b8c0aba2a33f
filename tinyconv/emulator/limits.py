"""What a GPU of each architecture can hold: the figures of NVIDIA's table "Technical Specifications per Compute
Capability", for one typical card each; and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import CUDADriverError

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


def three(what: str, size: tuple[int, ...]) -> tuple[int, int, int]:
    """The size of a grid or of a block, in three dimensions."""
    if not isinstance(size, tuple) or not 1 <= len(size) <= 3 or not all(type(n) is int for n in size):
        raise TypeError(f"{what} is {size!r}; it must be a tuple of one to three Python ints")
    x, y, z = (*size, 1, 1)[:3]
    return x, y, z


def check_size(kernel: str, grid: tuple[int, ...], block: tuple[int, ...], max_threads: int | None) -> None:
    """``max_threads``: by the kernel's launch bounds, if it has any."""
    for what, size, most in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
        if any(not 1 <= n <= m for n, m in zip(size, most, strict=True)):
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{kernel}: {what} is {size}; each number must be at "
                                  f"least 1, and at most as in {most}")
    threads, most_threads = math.prod(block), max_threads or MAX_THREADS
    if threads > most_threads:
        raise CUDADriverError("CUDA_ERROR_INVALID_VALUE", f"{kernel}: block {block} has {threads} threads; this kernel "
                              f"may have {most_threads}")


def check_registers(kernel: str, block: tuple[int, ...], per_thread: Callable[[], int]) -> None:
    """``per_thread`` is only asked where the registers could be too many, since the answer takes a compilation."""
    threads = math.prod(block)
    if threads > MAX_REGISTERS // 256 and registers_of(threads, per_thread()) > MAX_REGISTERS:
        raise CUDADriverError(
            "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", f"{kernel}: {threads} threads of {per_thread()} registers need more "
            f"than the {MAX_REGISTERS} of a block: declare __launch_bounds__({threads})")


def registers_of(block: int, per_thread: int) -> int:
    """Registers that a block of ``block`` threads takes: each warp's, rounded up to what is handed out at a time."""
    per_warp = -(-per_thread * WARP // REGISTER_UNIT) * REGISTER_UNIT
    return -(-block // WARP) * per_warp
