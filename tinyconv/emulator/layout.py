"""Where things lie in memory: shared arrays in a block's shared memory, parameters in what a launch passes."""

from __future__ import annotations

from . import ptx
from .ptx import Function, Instruction, Symbol


class Layout:
    """Where shared arrays lie.  Those of the file, and of functions that kernels call, come first, then the kernel's
    own; dynamic shared memory follows, from a place that each launch knows."""

    def __init__(self, module: ptx.Module) -> None:
        self.symbols = {variable.name: variable for variable in module.variables}
        self._functions = module.functions
        self.offsets: dict[str, int] = {}
        common = [v for v in module.variables if v.space == "shared"]
        common += [v for f in module.functions if not f.entry for v in f.variables if v.space == "shared"]
        self._common = self._place([v for v in common if v.nbytes], 0)
        self._static = {f.name: self._place([v for v in f.variables if v.space == "shared"], self._start(f))
                        for f in module.functions if f.entry}

    def static_shared(self, function: Function) -> int:
        return self._static[function.name]

    def _place(self, variables: list[ptx.Variable], start: int) -> int:
        for variable in variables:
            start = -(-start // variable.alignment) * variable.alignment
            self.offsets[variable.name] = start
            start += variable.nbytes
        return start

    def _start(self, function: Function) -> int:
        """0 for a kernel that neither calls a function nor names a shared array of the file."""
        for instruction in function.body:
            if isinstance(instruction, Instruction):
                names = {operand.name for operand in instruction.operands if isinstance(operand, Symbol)}
                if instruction.opcode == "call" or any(name in self.offsets for name in names):
                    return self._common
        return 0


def parameter_offsets(parameters: list[ptx.Variable]) -> list[tuple[ptx.Variable, int]]:
    """Where each parameter lies in the block of bytes that a launch passes."""
    offset, placed = 0, []
    for variable in parameters:
        offset = -(-offset // variable.alignment) * variable.alignment
        placed.append((variable, offset))
        offset += variable.nbytes
    return placed
