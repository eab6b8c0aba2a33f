"""What is here: ``python -m tinyconv.info`` prints devices, versions, and what to install for what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

PACKAGES = ("tinyconv", "numpy", "numba", "scipy", "h5py", "pillow", "matplotlib", "torch")
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")


def main() -> int:
    try:
        parts = {"versions": versions(), "cpu": processor(), "cuda": gpus(), "emulator": emulator()}
    except ValueError as error:  # an environment variable that means nothing
        print(f"error: {error}", file=sys.stderr)
        return 2
    for title, lines in parts.items():
        print(title, *(f"  {line}" for line in lines), sep="\n")
    return 0


def versions() -> list[str]:
    return [f"python {platform.python_version()} on {platform.system()} {platform.machine()}",
            *(f"{name} {_version(name) or '-'}" for name in PACKAGES)]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> list[str]:
    from .kernels import isa

    return [f"device cpu: {cores()} cores, tiles for {isa.chosen().name}",
            "device reference: the definitions, one core"]


def gpus() -> list[str]:
    """One line for CuPy, one for each GPU; or what is missing and how to get it."""
    from . import cuda

    installed = next((f"{name} {version}" for name in CUPY if (version := _version(name))), None)
    lines = [f"CuPy: {installed}" if installed else
             'CuPy: not installed; pip install "tinyconv[cuda13]", or "tinyconv[cuda12]" for a driver before 580']
    if installed:
        lines += [f"NVRTC: {_nvrtc()}"]
    try:
        cupy = cuda.gpu() if installed else None
    except cuda.CudaUnavailable as error:
        return [*lines, str(error)]
    if cupy is None:
        return lines
    runtime = cupy.cuda.runtime
    lines += [f"driver for CUDA {_cuda(runtime.driverGetVersion())}, runtime {_cuda(runtime.runtimeGetVersion())}"]
    return lines + [f"device cuda:{i}: {_describe(runtime.getDeviceProperties(i))}"
                    for i in range(runtime.getDeviceCount())]


def emulator() -> list[str]:
    """Whether the emulator could run, and whether it is asked for."""
    from . import cuda
    from .emulator import settings, unavailable

    settings.current()  # a setting that means nothing is told now
    if reason := unavailable():
        return [f"cannot run: {reason}"]
    if cuda.is_emulated():
        return [f"on: device cuda:{i} is emulated" for i in range(cuda.device_count())]
    return ["ready; set TINYCONV_CUDA=emulated to use it"]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _nvrtc() -> str:
    """The version of the compiler that CuPy loads, which needs no driver."""
    try:
        import cupy  # noqa: F401 (it must come first)
        from cupy_backends.cuda.libs import nvrtc

        return "{}.{}".format(*nvrtc.getVersion())
    except (RuntimeError, ImportError, OSError) as error:
        return f"not found ({error}); pip install nvidia-cuda-nvrtc, of the version that CuPy was made for"


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _describe(properties: dict[str, Any]) -> str:
    name = properties["name"].decode()
    memory = properties["totalGlobalMem"] / 2 ** 30
    return (f"{name}, sm_{properties['major']}{properties['minor']}, {properties['multiProcessorCount']} "
            f"multiprocessors, {memory:.1f} GiB")


if __name__ == "__main__":
    sys.exit(main())
