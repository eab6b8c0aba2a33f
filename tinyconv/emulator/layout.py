"""Where things lie in memory: shared arrays in a block's shared memory, parameters in what a launch passes."""

from __future__ import annotations

from . import ptx
from .ptx import Address, Function, Instruction, Symbol


class Layout:
    """Where shared arrays lie.  Those of the file, and of functions that kernels call, come first, then the kernel's
    own; dynamic shared memory follows where a kernel's static arrays end, at a multiple of its alignment."""

    def __init__(self, module: ptx.Module) -> None:
        self.symbols = {variable.name: variable for variable in module.variables}
        self.functions = {function.name for function in module.functions}
        self.offsets: dict[str, int] = {}
        common = [v for v in module.variables if v.space == "shared"]
        common += [v for f in module.functions if not f.entry for v in f.variables if v.space == "shared"]
        self._common = self._place([v for v in common if v.nbytes], 0)
        alignment = max((v.alignment for v in common if not v.nbytes), default=1)
        self._static = {}
        for function in module.functions:
            if function.entry:
                own = [variable for variable in function.variables if variable.space == "shared"]
                self._static[function.name] = _up(self._place(own, self._start(function)), alignment)

    def static_shared(self, function: Function) -> int:
        return self._static[function.name]

    def _place(self, variables: list[ptx.Variable], start: int) -> int:
        for variable in variables:
            start = _up(start, variable.alignment)
            self.offsets[variable.name] = start
            start += variable.nbytes
        return start

    def _start(self, function: Function) -> int:
        """0 for a kernel that neither calls a function nor names a shared array of the file."""
        for instruction in function.body:
            if isinstance(instruction, Instruction):
                bases = (operand.base if isinstance(operand, Address) else operand for operand in instruction.operands)
                named = any(isinstance(base, Symbol) and base.name in self.offsets for base in bases)
                if named or instruction.opcode == "call":
                    return self._common
        return 0


def parameter_offsets(parameters: list[ptx.Variable]) -> list[tuple[ptx.Variable, int]]:
    """Where each parameter lies in the block of bytes that a launch passes."""
    offset, placed = 0, []
    for variable in parameters:
        offset = _up(offset, variable.alignment)
        placed.append((variable, offset))
        offset += variable.nbytes
    return placed


def _up(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
