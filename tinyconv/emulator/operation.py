"""One instruction on its way to C++, and what things are called there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from .ptx import Instruction, Operand, Vector

if TYPE_CHECKING:
    from .function import FunctionWriter

CPP = {"pred": "bool", "f32": "float", "f64": "double",
       **{f"{kind}{bits}": f"{'int' if kind == 's' else 'uint'}{bits}_t" for kind in "bus" for bits in (8, 16, 32, 64)}}


class TranslationError(RuntimeError):
    """PTX that the emulator does not know; the message quotes the instruction and its source line."""


class OperandError(Exception):
    """An operand of a form that its instruction cannot have; becomes a TranslationError."""


def kernel_symbol(name: str) -> str:
    """What the kernel's C++ function is called."""
    return f"kernel_{cpp_name(name)}"


def cpp_name(name: str) -> str:
    """A symbol of the program as a C++ name that is none of the emulator's."""
    return "s_" + re.sub(r"\W", "_", name)


def label(name: str) -> str:
    return "L_" + re.sub(r"\W", "_", name)


def goto(name: str) -> str:
    return f"goto {label(name)};"


class Operation:
    """An instruction on its way to C++.  A handler takes the modifiers that it knows; one that is left is an error."""

    def __init__(self, writer: FunctionWriter, instruction: Instruction) -> None:
        self.writer = writer
        self.instruction = instruction
        self.modifiers = list(instruction.modifiers)
        self.operands = instruction.operands

    def unknown(self, what: str) -> NoReturn:
        raise TranslationError(f"{self.instruction.location}: {self.writer.function.name}: the emulator does not know "
                               f"the {what}: {self.instruction.text}")

    def take(self, *choices: str) -> str | None:
        """Remove and return the first modifier that is one of ``choices``; None if there is none."""
        found = next((modifier for modifier in self.modifiers if modifier in choices), None)
        if found is not None:
            self.modifiers.remove(found)
        return found

    def need(self, *choices: str) -> str:
        found = self.take(*choices)
        if found is None:
            self.unknown("form of this instruction")
        return found

    def type(self, kinds: str = "bus") -> str:
        """Remove and return the last modifier, which must be a type of one of the ``kinds`` (p: predicates)."""
        last = self.modifiers.pop() if self.modifiers else "none"
        if last not in CPP or last[0] not in kinds:
            self.unknown(f"type .{last}")
        return last

    def read(self, index: int, type_: str, copy: bool = False) -> str:
        return self.writer.read(self.operands[index], type_, copy)

    def write(self, type_: str, expression: str, copy: bool = False) -> str:
        """Set the first operand."""
        return self.writer.write(self.operands[0], type_, expression, copy)

    def items(self, index: int) -> tuple[Operand, ...]:
        """The elements of a vector operand, or the operand itself as only element."""
        operand = self.operands[index]
        return operand.items if isinstance(operand, Vector) else (operand,)

    def site(self, kind: str = "Other", space: str = "Global", nbytes: int = 0, scope: str = "Device") -> int:
        return self.writer.site(kind, space, nbytes, self.instruction.location, scope)
