"""How long until the first forward pass: with an empty cache of compiled kernels, and in a second process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("first_step.py")
MILESTONES = {"import": "import tinyconv", "forward": "first forward", "step": "first training step"}


def measure(variant: str) -> dict[str, Any]:
    """Seconds until each of :data:`MILESTONES`, batch 1, "cold" and "warm"; and those that compiling takes."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (_run(variant, cache) for _ in range(2))
    return {"variant": variant, "cold": cold, "warm": warm, "compile_seconds": cold["step"] - warm["step"]}


def _run(variant: str, cache: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, str(PROGRAM), variant], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "NUMBA_CACHE_DIR": cache})
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds
