"""Where the disassembler is: in the wheel nvidia-cuda-nvdisasm, in a CUDA toolkit, or on the PATH."""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib import metadata
from pathlib import Path


class ToolMissing(RuntimeError):
    """CuPy, NVRTC or nvdisasm is not installed; the message says what to install."""


@cache
def nvdisasm() -> str:
    """Raises ToolMissing."""
    toolkit = os.environ.get("CUDA_PATH", "/usr/local/cuda")
    for place in (_in_wheel(), shutil.which("nvdisasm"), shutil.which("nvdisasm", path=f"{toolkit}/bin")):
        if place:
            return place
    raise ToolMissing("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")


def _in_wheel() -> str | None:
    try:
        files = metadata.files("nvidia-cuda-nvdisasm") or []
    except metadata.PackageNotFoundError:
        return None
    programs = (file for file in files if file.name in ("nvdisasm", "nvdisasm.exe"))
    return next((str(Path(file.locate()).resolve()) for file in programs), None)
