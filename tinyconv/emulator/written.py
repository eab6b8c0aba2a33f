"""Which of a kernel's arrays it writes to, read off its code.

The source need not say: ``const`` is often left out, or comes with a macro.  So addresses are followed from the
parameters on: whatever is computed from one may point into its array.  What is stored at such an address is a write to
that array.  A pointer that is stored itself, or passed to a function, is lost sight of, so its array counts as written.
"""

from __future__ import annotations

from collections.abc import Iterator

from .ptx import Address, Function, Instruction, Operand, Register, Symbol, Vector

_STORES = ("st", "atom", "red")


def written(function: Function) -> list[bool]:
    """Of each parameter: whether the array that it points to may be written to."""
    parameters = {parameter.name: i for i, parameter in enumerate(function.parameters)}
    code = [item for item in function.body if isinstance(item, Instruction)]
    origins: dict[str, frozenset[int]] = {}  # of each register: the parameters that it was computed from
    changed = True
    while changed:  # once more for what comes around in loops
        changed = False
        for instruction in code:
            for register, found in _results(instruction, origins, parameters):
                if not found <= origins.get(register, frozenset()):
                    origins[register] = origins.get(register, frozenset()) | found
                    changed = True
    reached = {i for instruction in code for i in _stored(instruction, origins)}
    return [i in reached for i in range(len(parameters))]


def _results(instruction: Instruction, origins: dict[str, frozenset[int]],
             parameters: dict[str, int]) -> Iterator[tuple[str, frozenset[int]]]:
    """The registers that an instruction sets, and the parameters behind each."""
    if not instruction.operands or instruction.opcode in ("st", "red"):
        return
    target, *sources = instruction.operands
    if instruction.opcode == "ld":  # a number from an array is no address; a parameter is
        base = sources[0].base if isinstance(sources[0], Address) else None
        known = isinstance(base, Symbol) and base.name in parameters
        found = frozenset({parameters[base.name]}) if known else frozenset()  # type: ignore[union-attr]
    else:
        found = frozenset(i for source in sources for i in _origins(source, origins))
    for register in _registers(target):
        yield register, found


def _stored(instruction: Instruction, origins: dict[str, frozenset[int]]) -> Iterator[int]:
    """The parameters whose arrays an instruction writes to, or of which it lets a pointer go."""
    if instruction.opcode in _STORES or instruction.opcode == "call":
        for operand in instruction.operands:
            yield from _origins(operand, origins)


def _origins(operand: Operand, origins: dict[str, frozenset[int]]) -> Iterator[int]:
    for register in _registers(operand):
        yield from origins.get(register, ())


def _registers(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Register):
        yield operand.name
    elif isinstance(operand, Address):
        yield from _registers(operand.base)
    elif isinstance(operand, Vector):
        for item in operand.items:
            yield from _registers(item)
