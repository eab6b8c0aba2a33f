"""The machine code of a cubin (SASS), as ``nvdisasm`` lists it.

Only what the report asks of an instruction is told apart.  NVIDIA documents the names ("CUDA Binary Utilities"), not
what the instructions cost; that is in ``ceiling.py``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import toolkit

BYTES = 16  # of an instruction, on all these architectures
GLOBAL_LOADS = ("LDG", "LDGSTS")  # LDGSTS is cp.async: from global to shared memory, past the registers
SHARED_LOADS = ("LDS", "LDSM")  # LDSM is ldmatrix
SHARED_ACCESSES = (*SHARED_LOADS, "STS", "LDGSTS", "ATOMS")
LOCAL_ACCESSES = ("LDL", "STL")
_TARGETS = ("BRA", "BSSY")  # their last operand is the address of an instruction
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
        """Where a branch goes."""
        return int(self.operands[-1], 16) if self.name in _TARGETS else None

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


def disassemble(architecture: int, code: bytes) -> list[str]:
    """A line per instruction, as ``@P0 BRA 0x10``; addresses are counted from the start of ``code``.

    Starting nvdisasm takes longer than what it does, so it pays to give it much code at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.bin"
        path.write_bytes(code)
        command = [toolkit.nvdisasm(), "--binary", f"SM{architecture}", "--emit-json", str(path)]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"nvdisasm: {ran.stderr.strip()}")
    return [_line(entry) for function in json.loads(ran.stdout)[1] for entry in function["sass-instructions"]]


def instructions(lines: Sequence[str], start: int = 0) -> tuple[Instruction, ...]:
    """A kernel's part of a listing, which began at the address ``start`` there, and does at 0 here."""
    return tuple(_instruction(i * BYTES, line, start) for i, line in enumerate(lines))


def _line(entry: dict[str, str]) -> str:
    operands = entry.get("operands", "").replace(" ", "")
    return " ".join(filter(None, (entry.get("predicate"), entry["opcode"], operands)))


def _instruction(address: int, line: str, start: int) -> Instruction:
    words = line.split()
    predicate = words.pop(0) if words[0].startswith("@") else ""
    opcode, operands = words[0], tuple(words[1].split(",")) if words[1:] else ()
    if opcode.startswith(_TARGETS):
        operands = (*operands[:-1], hex(int(operands[-1], 16) - start))
    return Instruction(address, opcode, operands, predicate)
