"""PTX to C++: one C++ function per kernel, one C++ statement per instruction, one C++ variable per register.

    PTX    fma.rn.f32 %f3, %f1, %f2, %f3;          C++    f3 = fma(f1, f2, f3);
           ld.shared.f32 %f1, [%r4+16];                   { char* at = shared(thread, r4 + 16, 7); f1 = get<float>(at + 0); }
           @%p1 bra $L__BB0_2;                            if (p1) goto L__BB0_2;

What an instruction means is in ``instructions.py``; here is everything around it: registers and their types, operands,
memory layout, control flow.  The number 7 above is a *site*: an entry of a table that tells the runtime where in the
source the access stands and how many bytes it moves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from . import ptx
from .ptx import Address, Float, Function, Instruction, Integer, Label, Operand, Register, Special, Symbol, Vector

CPP = {"pred": "bool", "f32": "float", "f64": "double",
       **{f"{kind}{bits}": f"{'int' if kind == 's' else 'uint'}{bits}_t" for kind in "bus" for bits in (8, 16, 32, 64)}}
_FLOAT_OF_SIZE = {4: "f32", 8: "f64"}
_MAXIMUM_SITES = 1 << 14  # the checker keeps a site in 14 bits
_SPECIALS = {"laneid": "thread.lane()", "warpid": "(thread.index / 32)",
             "lanemask_eq": "(1u << thread.lane())", "lanemask_lt": "lanes_below(thread.lane())",
             "lanemask_le": "(lanes_below(thread.lane()) << 1 | 1)", "lanemask_gt": "~(lanes_below(thread.lane()) << 1 | 1)",
             "lanemask_ge": "~lanes_below(thread.lane())",
             **{f"{name}.{axis}": f"thread.{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"}}


class TranslationError(RuntimeError):
    """PTX that the emulator does not know; the message quotes the instruction and its source line."""


@dataclass(frozen=True)
class Site:
    location: ptx.Location
    nbytes: int
    kind: str  # Read, Write, Atomic, Other
    space: str  # Global, Shared, Local, Generic


@dataclass(frozen=True)
class KernelInfo:
    """What one must know of a kernel to launch it."""

    name: str
    parameters: list[tuple[str, str]]  # name and kind
    places: list[tuple[int, int]]  # of each parameter in the block of bytes that a launch passes: offset and size
    static_shared: int
    local_nbytes: int  # thread-local arrays
    meets: bool  # threads wait for one another: barriers, operations of warps
    max_threads: int | None


@dataclass(frozen=True)
class Translation:
    text: str
    kernels: list[KernelInfo]


def translate(module: ptx.Module, signatures: dict[str, list[tuple[str, bool]]]) -> Translation:
    """``module`` as C++.  ``signatures``: of each kernel, the names of its parameters and whether they are pointers."""
    from .instructions import HANDLERS  # which needs this module

    layout = _Layout(module)
    sites: list[Site] = []
    writers = {function.name: _FunctionWriter(function, layout, sites) for function in module.functions}
    bodies = {name: writer.translate(HANDLERS) for name, writer in writers.items()}
    if len(sites) >= _MAXIMUM_SITES:
        raise TranslationError(f"the file has {len(sites)} instructions that touch memory; the emulator counts to "
                               f"{_MAXIMUM_SITES}: split the file")
    kernels = []
    for function in module.functions:
        if function.entry:
            reached = [writers[name] for name in _reachable(function.name, writers)]
            kernels.append(KernelInfo(function.name, _kinds(function, signatures[function.name]),
                                      [(offset, v.nbytes) for v, offset in parameter_offsets(function.parameters)],
                                      layout.static_shared(function), sum(w.local_nbytes for w in reached),
                                      any(w.meets for w in reached), function.max_threads))
    prototypes = [f"{writers[f.name].head()};" for f in module.functions if not f.entry]
    text = "\n".join(['#include "device.h"', "using namespace emulator;", "", *_site_table(sites),
                      *_variables(module), *prototypes, "", *bodies.values()])
    return Translation(text + "\n", kernels)


def _site_table(sites: list[Site]) -> Iterator[str]:
    yield "extern \"C\" const Site sites[] = {"
    yield "    {nullptr, 0, 0, Kind::Other, Space::Global},"
    for site in sites:
        yield f'    {{"{site.location.file}", {site.location.line}, {site.nbytes}, Kind::{site.kind}, Space::{site.space}}},'
    yield "};"


def _variables(module: ptx.Module) -> Iterator[str]:
    """The arrays in constant and global memory, and a table of them for the checker."""
    arrays = [variable for variable in module.variables if variable.space != "shared"]
    for variable in arrays:
        element = f"uint{8 * ptx.SIZES[variable.type]}_t"
        count = variable.nbytes // ptx.SIZES[variable.type]
        values = ", ".join(f"{element}({value & 0xffffffffffffffff}ull)" for value in variable.values)
        yield f"alignas({variable.alignment}) static {element} {cpp_name(variable.name)}[{count}] = {{{values}}};"
    rows = "".join(f'{{"{v.name}", {cpp_name(v.name)}, {v.nbytes}}}, ' for v in arrays)
    yield f'extern "C" const Variable variables[] = {{{rows}{{nullptr, nullptr, 0}}}};'


def _reachable(name: str, writers: dict[str, _FunctionWriter]) -> set[str]:
    """``name`` and all functions that it calls, directly or not."""
    reached, pending = set(), [name]
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending.extend(writers[current].calls & writers.keys())
    return reached


def _kinds(function: Function, signature: list[tuple[str, bool]]) -> list[tuple[str, str]]:
    """Name and kind of each parameter.  PTX calls a pointer .u64, like a ``long long``: the signature knows."""
    kinds = []
    for parameter, (name, pointer) in zip(function.parameters, signature, strict=True):
        size = ptx.SIZES[parameter.type]
        kind = "struct" if size != parameter.nbytes else f"{'f' if parameter.type[0] == 'f' else 'i'}{8 * size}"
        kinds.append((name, "pointer" if pointer else kind))
    return kinds


def kernel_symbol(name: str) -> str:
    """What the kernel's C++ function is called."""
    return f"kernel_{cpp_name(name)}"


def cpp_name(name: str) -> str:
    """A symbol of the program as a C++ name that is none of the emulator's."""
    return "s_" + re.sub(r"\W", "_", name)


def _register_name(name: str) -> str:
    return re.sub(r"\W", "_", name[1:] if name.startswith("%") else f"named_{name}")


class _Layout:
    """Where shared arrays lie.  Those of the file, and of functions that kernels call, come first, then the kernel's own;
    dynamic shared memory follows, from a place that each launch knows."""

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


class _FunctionWriter:
    """Translates one function, twice: the first time to see how each register is used, which decides its C++ type.

    PTX for recent architectures keeps integers and floats in the same untyped registers (%r1 may be either), but C++ that
    reinterprets at every use is slow.  So a register becomes a float if more instructions treat it as one.  Copies say
    nothing about a type; but a register and its copy get the same."""

    def __init__(self, function: Function, layout: _Layout, sites: list[Site]) -> None:
        self.function = function
        self.layout = layout
        self.sites = sites
        self.calls: set[str] = set()
        self.meets = False
        self.symbols = {**layout.symbols, **{v.name: v for v in (*function.parameters, *function.results, *function.variables)}}
        self.local_nbytes = sum(v.nbytes for v in function.variables if v.space == "local")
        self._types = dict(function.registers)
        self._votes: Counter[str] = Counter()
        self._leader: dict[str, str] = {}  # union-find of registers that are copies
        self._used: set[str] = set()

    # ---------------------------------------------------------------------------------------- the function as a whole

    def translate(self, handlers: dict) -> str:
        first_site = len(self.sites)
        self._statements(handlers)
        del self.sites[first_site:]
        self._choose_types()
        statements = self._statements(handlers)
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
        for variable in self.function.variables:
            if variable.space != "shared":
                yield f"alignas({max(variable.alignment, 8)}) char {cpp_name(variable.name)}[{variable.nbytes}];"
            if variable.space == "local":
                yield f"LOCAL({cpp_name(variable.name)}, {variable.nbytes});"
        for type_ in sorted(set(self._types.values())):
            names = [_register_name(name) for name, its in self._types.items() if its == type_ and name in self._used]
            if names:
                yield f"{CPP[type_]} {', '.join(f'{name} = 0' for name in names)};"

    def _statements(self, handlers: dict) -> list[str]:
        loops = self._loop_heads()
        statements = []
        for item in self.function.body:
            if isinstance(item, Label):
                if not item.targets:
                    guard = f" LOOP({self.site('Other', 'Global', 0, loops[item.name])});" if item.name in loops else ""
                    statements.append(f"{_label(item.name)}:;{guard}")
            else:
                statements.append(self._statement(item, handlers))
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

    def _statement(self, instruction: Instruction, handlers: dict) -> str:
        handler = handlers.get(instruction.opcode)
        operation = Operation(self, instruction)
        if handler is None:
            operation.unknown(f"instruction {instruction.opcode}")
        try:
            text = handler(operation)
        except (IndexError, AttributeError) as error:
            raise TranslationError(f"{instruction.location}: operands not understood: {instruction.text}") from error
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
        self._used.add(name)
        if not copy:
            self._votes[name] += 1 if type_[0] == "f" else -1
        return self._types[name]

    # ---------------------------------------------------------------------------------------- operands

    def read(self, operand: Operand, type_: str, copy: bool = False) -> str:
        """The C++ expression for ``operand``, as a value of the PTX type ``type_``."""
        if isinstance(operand, Register):
            own, name = self._use(operand.name, type_, copy), _register_name(operand.name)
            if (own == "pred") != (type_ == "pred") or ptx.SIZES[own] < ptx.SIZES[type_]:
                raise AttributeError
            if type_ == "pred":
                return f"!{name}" if operand.negated else name
            return name if CPP[own] == CPP[type_] else f"bits<{CPP[type_]}>({name})" if "f" in own[0] + type_[0] \
                else f"{CPP[type_]}({name})"
        if isinstance(operand, Integer):
            if type_[0] == "f":
                raise AttributeError
            return f"{CPP[type_]}({operand.value & (1 << 8 * ptx.SIZES[type_]) - 1:#x}ull)" if operand.value > 9 or operand.value < 0 \
                else f"{CPP[type_]}({operand.value})"
        if isinstance(operand, Float):
            integer = f"{operand.bits:#x}u{'ll' if operand.size == 8 else ''}"
            if operand.size != ptx.SIZES[type_]:
                raise AttributeError
            return f"bits<{CPP[type_]}>({integer})" if type_[0] == "f" else integer
        if isinstance(operand, Special) and operand.name in _SPECIALS:
            return f"{CPP[type_]}({_SPECIALS[operand.name]})"
        if isinstance(operand, Symbol) and operand.name in self.symbols:
            return f"{CPP[type_]}({self._symbol(self.symbols[operand.name])})"
        raise AttributeError

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
            raise AttributeError
        own, name = self._use(operand.name, type_, copy), _register_name(operand.name)
        if (own == "pred") != (type_ == "pred") or ptx.SIZES[own] < ptx.SIZES[type_]:
            raise AttributeError
        if CPP[own] == CPP[type_]:
            return f"{name} = {expression};"
        if type_[0] == "f" or own[0] == "f":
            return f"{name} = bits<{CPP[own]}>({CPP[type_]}({expression}));"
        return f"{name} = {CPP[type_]}({expression});"

    def address(self, operand: Operand, space: str) -> str:
        """An address as a C++ integer: 32 bits for shared memory, else 64."""
        if not isinstance(operand, Address):
            raise AttributeError
        base = operand.base
        wide = isinstance(base, Register) and ptx.SIZES[self.function.registers[base.name]] == 8
        text = self.read(base, "u64" if wide or not isinstance(base, Register) else "u32")
        text = f"{text} + {operand.offset}" if operand.offset else text
        return f"uint32_t({text})" if space == "Shared" else text

    def site(self, kind: str, space: str, nbytes: int, location: ptx.Location) -> int:
        self.sites.append(Site(location, nbytes, kind, space))
        return len(self.sites)  # entry 0 is nobody's


class Operation:
    """An instruction on its way to C++.  A handler takes the modifiers that it knows; one that is left is an error."""

    def __init__(self, writer: _FunctionWriter, instruction: Instruction) -> None:
        self.writer = writer
        self.instruction = instruction
        self.modifiers = list(instruction.modifiers)
        self.operands = instruction.operands

    def unknown(self, what: str) -> None:
        raise TranslationError(f"{self.instruction.location}: the emulator does not know the {what}: {self.instruction.text}")

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
        assert found is not None
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

    def site(self, kind: str = "Other", space: str = "Global", nbytes: int = 0) -> int:
        return self.writer.site(kind, space, nbytes, self.instruction.location)


def parameter_offsets(parameters: list[ptx.Variable]) -> list[tuple[ptx.Variable, int]]:
    """Where each parameter lies in the block of bytes that a launch passes."""
    offset, placed = 0, []
    for variable in parameters:
        offset = -(-offset // variable.alignment) * variable.alignment
        placed.append((variable, offset))
        offset += variable.nbytes
    return placed


def _label(name: str) -> str:
    return "L_" + re.sub(r"\W", "_", name)


def goto(name: str) -> str:
    return f"goto {_label(name)};"
