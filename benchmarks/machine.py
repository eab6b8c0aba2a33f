"""What the numbers were measured on: processor, instruction sets, versions, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from typing import Any

from tinyconv.info import cores

ISA = ("sse2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile",
       "neon", "asimd", "sve")
PACKAGES = ("tinyconv", "numpy", "numba", "llvmlite", "scipy", "torch")


def describe() -> dict[str, Any]:
    """Processor, cores, instruction sets, memory in bytes, system, and the load: how many processes want to run now."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "family_model": [info.get("cpu family"), info.get("model")],  # "AMD EPYC" alone may be any of five designs
        "architecture": platform.machine(), "cores": cores(), "isa": [name for name in ISA if name in flags],
        "memory_bytes": _memory(), "system": platform.system(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None}


def versions() -> dict[str, str | None]:
    """Package -> version, None for what is not installed; Python's own; the commit of this source tree."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return {**found, "commit": _commit()}


def use_all_cores(with_torch: bool) -> dict[str, Any]:
    """Give both sides every core; returns what the report says about it."""
    import numba

    numba.set_num_threads(min(cores(), numba.config.NUMBA_NUM_THREADS))
    threads: dict[str, Any] = {"tinyconv": numba.get_num_threads(), "spin_count": os.environ.get("GOMP_SPINCOUNT")}
    if with_torch:
        import torch

        torch.set_num_threads(cores())
        threads["torch"] = torch.get_num_threads()
    return threads


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; empty where there is no such file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            block = file.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _commit() -> str | None:
    """The commit of the working tree, with "+" if files differ from it."""
    def git(*arguments: str) -> str:
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: the commit is not known: {error}", file=sys.stderr)
        return None
