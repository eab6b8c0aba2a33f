"""Programs in, functions out: compiled, taken apart, and kept on disk.

They are kept in ``$TINYCONV_CACHE`` (``~/.cache/tinyconv`` if not set), under a digest of all that goes in: text,
headers, options, architecture, and the compiler's version.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinyconv.emulator import cubin
from tinyconv.safefile import make_folder

from . import compiler, sass
from .compiler import Program

Job = tuple[Program, int]  # and the architecture


@dataclass(frozen=True)
class Function:
    """A compiled kernel; see ``cubin.py`` for the numbers."""

    registers: int
    stack: int
    shared: int
    instructions: tuple[sass.Instruction, ...]


def compiled(jobs: Iterable[Job]) -> dict[Job, dict[str, Function]]:
    """The kernels of each job, by name.  What is not kept yet is compiled, on two cores."""
    places = {job: _folder() / f"{_digest(*job)}.json.gz" for job in jobs}
    missing = [job for job, place in places.items() if not place.exists()]
    with ThreadPoolExecutor(2) as pool:
        cubins = dict(zip(missing, pool.map(lambda job: compiler.build(*job), missing), strict=True))
        for found in pool.map(lambda number: _listings(number, cubins), {number for _, number in missing}):
            for job, kernels in found.items():
                _keep(places[job], gzip.compress(json.dumps(kernels).encode(), 1))
    return {job: {name: Function(each["registers"], each["stack"], each["shared"],
                                 sass.instructions(each["lines"].splitlines(), each["start"]))
                  for name, each in json.loads(gzip.decompress(place.read_bytes())).items()}
            for job, place in places.items()}


def _listings(architecture: int, cubins: Mapping[Job, bytes]) -> dict[Job, dict[str, Any]]:
    """What is kept of the kernels for one architecture; all of them are disassembled in one go."""
    kernels = {job: cubin.read(binary) for job, binary in cubins.items() if job[1] == architecture}
    listing = sass.disassemble(architecture, b"".join(each.code for of_job in kernels.values()
                                                      for each in of_job.values()))
    found: dict[Job, dict[str, Any]] = {}
    start = 0
    for job, of_job in kernels.items():
        found[job] = {}
        for name, each in of_job.items():
            end = start + len(each.code)
            found[job][name] = {"registers": each.registers, "stack": each.stack, "shared": each.shared, "start": start,
                                "lines": "\n".join(listing[start // sass.BYTES:end // sass.BYTES])}
            start = end
    return found


def _keep(path: Path, content: bytes) -> None:
    """Complete or not at all, and two processes may do it at once."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(content)
    os.replace(temporary.name, path)


def _digest(program: Program, architecture: int) -> str:
    """The code ends with a hash of the headers, which ``kernels/gpu`` puts there."""
    parts = (compiler.version(), str(architecture), program.file, program.code, *program.options)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def _folder() -> Path:
    folder = Path(os.environ.get("TINYCONV_CACHE") or Path.home() / ".cache" / "tinyconv") / "sass"
    make_folder(folder)
    return folder
