"""One function of PTX as C++: its registers and their types, its operands, its labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from . import ptx
from .instructions import HANDLERS
from .layout import Layout, parameter_offsets
from .operation import CPP, OperandError, Operation, cpp_name, kernel_symbol, label
from .ptx import Address, Float, Function, Instruction, Integer, Label, Operand, Register, Special, Symbol

_FLOAT_OF_SIZE = {4: "f32", 8: "f64"}
_SPECIALS = {"laneid": "thread.lane()", "warpid": "(thread.index / 32)",
             "lanemask_eq": "(1u << thread.lane())", "lanemask_lt": "lanes_below(thread.lane())",
             "lanemask_le": "(lanes_below(thread.lane()) << 1 | 1)",
             "lanemask_gt": "~(lanes_below(thread.lane()) << 1 | 1)",
             "lanemask_ge": "~lanes_below(thread.lane())",
             **{f"{name}.{axis}": f"thread.{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid")
                for axis in "xyz"}}


@dataclass(frozen=True)
class Site:
    location: ptx.Location
    nbytes: int
    kind: str  # of device.h's Kind
    space: str  # Global, Shared, Local, Generic
    scope: str  # Block, Device


class FunctionWriter:
    """Translates one function, twice: the first time to see how each register is used, which decides its C++ type.

    PTX for recent architectures keeps integers and floats in the same untyped registers (%r1 may be either), but C++
    that reinterprets at every use is slow.  So a register becomes a float if more instructions treat it as one.  Copies
    say nothing about a type; but a register and its copy get the same."""

    def __init__(self, function: Function, layout: Layout, sites: list[Site]) -> None:
        self.function = function
        self.layout = layout
        self.sites = sites
        self.calls: set[str] = set()
        self.meets = False
        self.carries = False  # it has the condition code of add.cc
        own = (*function.parameters, *function.results, *function.variables)
        self.symbols = {**layout.symbols, **{variable.name: variable for variable in own}}
        self.local_nbytes = sum(v.nbytes for v in function.variables if v.space == "local")
        self._types = dict(function.registers)
        self._votes: Counter[str] = Counter()
        self._leader: dict[str, str] = {}  # union-find of registers that are copies
        self._used: set[str] = set()

    # ---------------------------------------------------------------------------------------- the function as a whole

    def translate(self) -> str:
        first_site = len(self.sites)
        self._statements()
        del self.sites[first_site:]
        self._choose_types()
        statements = self._statements()
        return "\n".join([self.head(), "{", *(f"    {line}" for line in (*self._declarations(), *statements)), "}", ""])

    def head(self) -> str:
        if self.function.entry:
            return f'extern "C" void {kernel_symbol(self.function.name)}(Thread& thread, const char* parameters)'
        arguments = "".join(f", char* {cpp_name(v.name)}" for v in (*self.function.results, *self.function.parameters))
        return f"static void {cpp_name(self.function.name)}(Thread& thread{arguments})"

    def call(self, function: str, arguments: tuple[Operand, ...]) -> str:
        """Results and arguments are blocks of bytes in the caller, which the function gets pointers to."""
        self.calls.add(function)
        names = "".join(f", {cpp_name(a.name)}" for a in arguments if isinstance(a, Symbol))
        return f"{cpp_name(function)}(thread{names});"

    def _declarations(self) -> Iterator[str]:
        if self.function.entry:
            for variable, offset in parameter_offsets(self.function.parameters):
                yield f"const char* const {cpp_name(variable.name)} = parameters + {offset};"
        else:
            yield f"NESTED({self.site('Other', 'Global', 0, self._begins)});"
        if self.carries:
            yield "bool carry = false;"
        for variable in self.function.variables:
            if variable.space != "shared":
                yield f"alignas({max(variable.alignment, 8)}) char {cpp_name(variable.name)}[{variable.nbytes}];"
            if variable.space == "local":
                yield f"LOCAL({cpp_name(variable.name)}, {variable.nbytes});"
        for type_ in sorted(set(self._types.values())):
            names = [_register_name(name) for name, its in self._types.items() if its == type_ and name in self._used]
            if names:
                yield f"{CPP[type_]} {', '.join(f'{name} = 0' for name in names)};"

    @property
    def _begins(self) -> ptx.Location:
        return next(item.location for item in self.function.body if isinstance(item, Instruction))

    def _statements(self) -> list[str]:
        loops = self._loop_heads()
        statements = []
        for item in self.function.body:
            if isinstance(item, Label):
                if not item.targets:
                    guard = f" LOOP({self.site('Other', 'Global', 0, loops[item.name])});" if item.name in loops else ""
                    statements.append(f"{label(item.name)}:;{guard}")
            else:
                statements.append(self._statement(item))
        return statements

    def _loop_heads(self) -> dict[str, ptx.Location]:
        """The labels to which something jumps backwards, and where that jump stands."""
        seen: set[str] = set()
        heads = {}
        for item in self.function.body:
            if isinstance(item, Label):
                seen.add(item.name)
            else:
                heads.update({name: item.location for name in self.targets(item) if name in seen})
        return heads

    def targets(self, instruction: Instruction) -> tuple[str, ...]:
        """The labels to which a branch may go."""
        if instruction.opcode == "bra":
            return tuple(operand.name for operand in instruction.operands if isinstance(operand, Symbol))
        if instruction.opcode == "brx":
            table = instruction.operands[-1]
            return next(item.targets for item in self.function.body
                        if isinstance(item, Label) and isinstance(table, Symbol) and item.name == table.name)
        return ()

    def _statement(self, instruction: Instruction) -> str:
        operation = Operation(self, instruction)
        if instruction.opcode not in HANDLERS:
            operation.unknown(f"instruction {instruction.opcode}")
        try:
            text = HANDLERS[instruction.opcode](operation)
        except (IndexError, OperandError):
            operation.unknown("form of its operands")
        if operation.modifiers:
            operation.unknown(f"modifier .{operation.modifiers[0]}")
        if instruction.guard:
            return f"if ({self.read(instruction.guard, 'pred')}) {{ {text} }}"
        return text

    # ---------------------------------------------------------------------------------------- registers

    def _choose_types(self) -> None:
        totals: Counter[str] = Counter()
        for name, votes in self._votes.items():
            totals[self._root(name)] += votes
        for name, type_ in self.function.registers.items():
            size = ptx.SIZES[type_]
            if type_[0] == "b" and size in _FLOAT_OF_SIZE and totals[self._root(name)] > 0:
                self._types[name] = _FLOAT_OF_SIZE[size]

    def _root(self, name: str) -> str:
        while (above := self._leader.get(name, name)) != name:
            name = above
        return name

    def alike(self, *operands: Operand) -> None:
        """Note that these are copies of one another."""
        names = [o.name for o in operands if isinstance(o, Register) and self.function.registers[o.name][0] == "b"]
        for other in names[1:]:
            self._leader[self._root(other)] = self._root(names[0])

    def _use(self, name: str, type_: str, copy: bool) -> str:
        """Note a use of a register as ``type_``, and return the type that it has."""
        self._used.add(name)
        if not copy:
            self._votes[name] += 1 if type_[0] == "f" else -1
        own = self._types[name]
        if (own == "pred") != (type_ == "pred") or ptx.SIZES[own] < ptx.SIZES[type_]:
            raise OperandError
        return own

    # ---------------------------------------------------------------------------------------- operands

    def read(self, operand: Operand, type_: str, copy: bool = False) -> str:
        """The C++ expression for ``operand``, as a value of the PTX type ``type_``."""
        if isinstance(operand, Register):
            own, name = self._use(operand.name, type_, copy), _register_name(operand.name)
            if type_ == "pred":
                return f"!{name}" if operand.negated else name
            if CPP[own] == CPP[type_]:
                return name
            return f"bits<{CPP[type_]}>({name})" if "f" in own[0] + type_[0] else f"{CPP[type_]}({name})"
        if isinstance(operand, Integer) and type_[0] != "f":
            return f"{CPP[type_]}({operand.value & (1 << 8 * ptx.SIZES[type_]) - 1}ull)"
        if isinstance(operand, Float) and operand.size == ptx.SIZES[type_]:
            integer = f"{operand.bits:#x}u{'ll' if operand.size == 8 else ''}"
            return f"bits<{CPP[type_]}>({integer})" if type_[0] == "f" else integer
        if isinstance(operand, Special) and operand.name in _SPECIALS:
            return f"{CPP[type_]}({_SPECIALS[operand.name]})"
        if isinstance(operand, Symbol) and operand.name in self.symbols:
            return f"{CPP[type_]}({self._symbol(self.symbols[operand.name])})"
        raise OperandError

    def _symbol(self, variable: ptx.Variable) -> str:
        if variable.space == "shared":
            return str(self.layout.offsets[variable.name]) if variable.nbytes else "thread.dynamic_shared"
        return f"reinterpret_cast<uint64_t>({cpp_name(variable.name)})"

    def write(self, operand: Operand, type_: str, expression: str, copy: bool = False) -> str:
        """The C++ statement that sets ``operand`` to the value of ``expression``, of the PTX type ``type_``.  A wider
        register is filled with zeros or copies of the sign, as the type says."""
        if operand == Symbol("_"):
            return f"(void)({expression});"
        if not isinstance(operand, Register):
            raise OperandError
        own, name = self._use(operand.name, type_, copy), _register_name(operand.name)
        if CPP[own] == CPP[type_]:
            return f"{name} = {expression};"
        if type_[0] == "f" or own[0] == "f":
            return f"{name} = bits<{CPP[own]}>({CPP[type_]}({expression}));"
        return f"{name} = {CPP[type_]}({expression});"

    def address(self, operand: Operand, space: str) -> str:
        """An address as a C++ integer: 32 bits for shared memory, else 64."""
        if not isinstance(operand, Address):
            raise OperandError
        base = operand.base
        wide = isinstance(base, Register) and ptx.SIZES[self.function.registers[base.name]] == 8
        text = self.read(base, "u64" if wide or not isinstance(base, Register) else "u32")
        text = f"{text} + {operand.offset}" if operand.offset else text
        return f"uint32_t({text})" if space == "Shared" else text

    def site(self, kind: str, space: str, nbytes: int, location: ptx.Location, scope: str = "Device") -> int:
        self.sites.append(Site(location, nbytes, kind, space, scope))
        return len(self.sites)  # entry 0 is nobody's


def _register_name(name: str) -> str:
    return re.sub(r"\W", "_", name[1:] if name.startswith("%") else f"named_{name}")
