"""Occupancy: cases worked out by hand from NVIDIA's limits, and NVIDIA's own calculator as a witness."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks.cuda.architectures import ARCHITECTURES
from benchmarks.cuda.occupancy import Occupancy, occupancy


@pytest.mark.parametrize(("architecture", "threads", "registers", "shared", "expected"), [
    (75, 256, 32, 0, Occupancy(4, 1.0, "threads")),  # 1024 threads / 256
    (80, 256, 32, 0, Occupancy(8, 1.0, "threads")),  # 2048 / 256; 8 blocks x 8 warps x 1024 registers = 65536
    (80, 256, 33, 0, Occupancy(6, 0.75, "registers")),  # 33 x 32 -> 1280 a warp; 16384 // 1280 = 12 x 4 warps / 8
    (80, 256, 128, 33792, Occupancy(2, 0.25, "registers")),  # 4096 a warp, 4 x 4 warps, 2 blocks; 4 by shared memory
    (80, 32, 16, 0, Occupancy(32, 0.5, "blocks")),
    (86, 32, 16, 0, Occupancy(16, 1 / 3, "blocks")),
    (120, 32, 16, 0, Occupancy(24, 0.5, "blocks")),
    (86, 128, 32, 48 * 1024, Occupancy(2, 256 / 1536, "shared")),  # 49 KiB with the reserved one; 100 // 49
    (75, 128, 32, 32 * 1024, Occupancy(2, 0.25, "shared")),  # nothing reserved: 64 // 32
    (90, 128, 32, 227 * 1024, Occupancy(1, 128 / 2048, "shared")),  # 228 KiB with the reserved one
    (86, 128, 32, 99 * 1024 + 1, Occupancy(0, 0.0, "shared")),  # more than a block may have
    (90, 1024, 65, 0, Occupancy(0, 0.0, "registers")),  # 65 x 32 -> 2304 a warp, 32 warps: more than 65536
    (90, 33, 16, 0, Occupancy(32, 1.0, "threads")),  # 33 threads take two warps
])
def test_by_hand(architecture: int, threads: int, registers: int, shared: int, expected: Occupancy) -> None:
    assert occupancy(ARCHITECTURES[architecture], threads, registers, shared) == expected


_WITNESS = r"""
#include <cuda_occupancy.h>
#include <cstdio>
int main()
{
    int arch, threads, registers, shared, per_sm_threads, per_sm_shared, per_block, reserved;
    while (std::scanf("%d %d %d %d %d %d %d %d", &arch, &threads, &registers, &shared, &per_sm_threads, &per_sm_shared,
                      &per_block, &reserved) == 8) {
        cudaOccDeviceProp device;
        device.computeMajor = arch / 10;
        device.computeMinor = arch % 10;
        device.maxThreadsPerBlock = 1024;
        device.maxThreadsPerMultiprocessor = per_sm_threads;
        device.regsPerBlock = device.regsPerMultiprocessor = 65536;
        device.warpSize = 32;
        device.sharedMemPerBlock = 48 * 1024;
        device.sharedMemPerMultiprocessor = per_sm_shared;
        device.numSms = 1;
        device.sharedMemPerBlockOptin = per_block;
        device.reservedSharedMemPerBlock = reserved;
        cudaOccFuncAttributes kernel;
        kernel.maxThreadsPerBlock = 1024;
        kernel.numRegs = registers;
        kernel.sharedSizeBytes = 0;
        kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
        kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
        kernel.maxDynamicSharedSizeBytes = shared;
        kernel.numBlockBarriers = 1;
        cudaOccDeviceState state;
        state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
        cudaOccResult result;
        int error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, shared);
        std::printf("%d\n", error ? -1 : result.activeBlocksPerMultiprocessor);
    }
}
"""


def _cuda_headers() -> Path | None:
    try:
        files = metadata.files("nvidia-cuda-runtime") or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve().parent for file in files if file.name == "cuda_occupancy.h"), None)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile NVIDIA's calculator with")
@pytest.mark.skipif(_cuda_headers() is None, reason="no cuda_occupancy.h: pip install nvidia-cuda-runtime")
def test_agrees_with_nvidias_calculator(tmp_path: Path) -> None:
    """Some 7000 cases, and the limits of the architectures that the header itself knows (blocks, units)."""
    source, program = tmp_path / "witness.cpp", tmp_path / "witness"
    source.write_text(_WITNESS)
    subprocess.run(["g++", "-w", f"-I{_cuda_headers()}", str(source), "-o", str(program)], check=True)
    cases = [(a, threads, registers, shared)
             for a in ARCHITECTURES.values() for threads in (32, 33, 64, 96, 128, 160, 256, 384, 512, 768, 1024)
             for registers in (8, 16, 24, 32, 33, 40, 64, 72, 96, 128, 168, 255)
             for shared in (0, 1, 1024, 4096, 17408, 33792, 50000, 65536, a.shared_per_block * 1024)]
    text = "".join(f"{a.number} {threads} {registers} {shared} {a.threads} {a.shared * 1024} "
                   f"{a.shared_per_block * 1024} {a.shared_reserved}\n" for a, threads, registers, shared in cases)
    answers = subprocess.run([str(program)], input=text, capture_output=True, text=True, check=True).stdout.split()
    ours = [occupancy(*case).blocks for case in cases]
    assert [(case[0].name, *case[1:], got, int(want)) for case, got, want in zip(cases, ours, answers, strict=True)
            if got != int(want)] == []
