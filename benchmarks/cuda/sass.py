"""The machine code of a cubin (SASS), as ``nvdisasm`` lists it.

Only what the report asks of an instruction is told apart.  NVIDIA documents the names ("CUDA Binary Utilities"), not
what the instructions cost; that is in ``ceiling.py``.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import toolkit

BYTES = 16  # of an instruction, on all these architectures
GLOBAL_LOADS = ("LDG", "LDGSTS")  # LDGSTS is cp.async: from global to shared memory, past the registers
SHARED_LOADS = ("LDS", "LDSM")  # LDSM is ldmatrix
SHARED_ACCESSES = (*SHARED_LOADS, "STS", "LDGSTS", "ATOMS")
LOCAL_ACCESSES = ("LDL", "STL")
_FMA = {"FFMA": 1, "FFMA2": 2}  # FFMA2, of sm_100 and later: two multiply-adds per thread
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16, "256": 32}


@dataclass(frozen=True)
class Instruction:
    """``predicate`` is as ``@P0`` or ``@!P0``, or nothing.  An instruction that it switches off is issued all the
    same, so it counts as any other; only ``@!PT``, never, is known to do no work."""

    address: int
    opcode: str
    operands: tuple[str, ...] = ()
    predicate: str = ""

    @cached_property
    def name(self) -> str:
        """``LDG`` of ``LDG.E.128.CONSTANT``."""
        return self.modifiers[0]

    @cached_property
    def modifiers(self) -> list[str]:
        return self.opcode.split(".")

    @property
    def never(self) -> bool:
        return self.predicate in ("@!PT", "@!UPT")

    @property
    def conditional(self) -> bool:
        """For a branch: may it be passed?  Its condition is before it, or its first operand."""
        return bool(self.predicate) or len(self.operands) > 1

    @property
    def target(self) -> int | None:
        """Where a branch goes; None if that is not written in the code."""
        return int(self.operands[-1], 16) if self.operands and re.fullmatch(r"0x[0-9a-f]+", self.operands[-1]) else None

    @property
    def fma(self) -> int:
        """Multiply-adds of 32-bit floating point that each thread does."""
        return 0 if self.never else _FMA.get(self.name, 0)

    @property
    def tensor_fma(self) -> float:
        """The same of the tensor cores, whose M×N×K multiply-adds a warp does together: HMMA.1688 is 16×8×8."""
        if self.name != "HMMA" or self.never:
            return 0
        depth = int(self.modifiers[1][3:])
        return 16 * 8 * depth / 32

    @property
    def nbytes(self) -> int:
        """What a memory instruction moves per thread.  ``M88.4`` of LDSM is four 8×8 matrices, 4 bytes of each per
        thread; without such a word it is 4 bytes."""
        if self.never:
            return 0
        if self.name == "LDSM":
            return 4 * int(self.modifiers[-1] if self.modifiers[-1].isdigit() else 1)
        return next((_WIDTHS[word] for word in self.modifiers[1:] if word in _WIDTHS), 4)


def disassemble(cubin: bytes) -> str:
    """The listing of all functions, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.cubin"
        path.write_bytes(cubin)
        ran = subprocess.run([toolkit.nvdisasm(), "--emit-json", path], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"nvdisasm: {ran.stderr.strip()}")
    return ran.stdout


def parse(listing: str) -> dict[str, list[Instruction]]:
    """Function -> instructions."""
    return {function["function-name"]: [_instruction(i, each) for i, each in enumerate(function["sass-instructions"])]
            for function in json.loads(listing)[1]}


def _instruction(index: int, entry: dict[str, str]) -> Instruction:
    operands = tuple(filter(None, entry.get("operands", "").split(",")))
    return Instruction(index * BYTES, entry["opcode"], operands, entry.get("predicate", ""))
