"""A parser of PTX, the assembly language of NVIDIA's virtual machine, as NVRTC writes it.

PTX is a good language to emulate: it has infinitely many typed registers, explicit memory spaces and few surprises, and
it is what the compiler really made of the kernel, inline assembly included.  A function looks like this:

    .visible .entry forward(.param .u64 forward_param_0)     parameters: a block of bytes, read by ld.param
    {
        .reg .f32 %f<3>;                                      registers %f0, %f1, %f2
        .shared .align 4 .b8 tile[512];                       one array per block of threads
        .loc 1 8 9                                            what follows comes from file 1, line 8
        ld.global.nc.f32 %f1, [%rd10+4];                      opcode.modifiers, destination, sources
    @%p1 bra $L__BB0_2;                                       guarded: only where the predicate %p1 is true
    $L__BB0_2:

Names may be declared again in an inner ``{ }`` scope; the parser gives those a name of their own, so that what it
returns has one meaning per name and no scopes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


class PtxError(ValueError):
    """Text that is not PTX as this parser knows it; the message quotes it."""


@dataclass(frozen=True)
class Location:
    """A line of the source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Register:
    name: str
    negated: bool = False  # the ! before a predicate


@dataclass(frozen=True)
class Special:
    """A register that the hardware sets, such as %tid.x."""

    name: str


@dataclass(frozen=True)
class Integer:
    value: int


@dataclass(frozen=True)
class Float:
    """A floating-point number, given by its bits."""

    bits: int
    size: int  # in bytes: 4 or 8


@dataclass(frozen=True)
class Symbol:
    """The name of an array, a parameter, a function or a label."""

    name: str


@dataclass(frozen=True)
class Address:
    """[base + offset]"""

    base: Operand
    offset: int


@dataclass(frozen=True)
class Vector:
    """{a, b, c, d}; for a pair a|b, two elements; for the arguments of a call (a, b), as many as there are."""

    items: tuple[Operand, ...]


Operand = Register | Special | Integer | Float | Symbol | Address | Vector


@dataclass(frozen=True)
class Instruction:
    opcode: str
    modifiers: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Register | None
    location: Location
    text: str  # as it was written, for messages


@dataclass(frozen=True)
class Label:
    name: str
    targets: tuple[str, ...] = ()  # of a .branchtargets table


@dataclass(frozen=True)
class Variable:
    """An array in some memory space."""

    name: str
    space: str  # param, shared, local, const, global
    type: str  # of an element
    nbytes: int  # 0: dynamic shared memory, whose size the launch gives
    alignment: int
    values: tuple[int, ...] = ()  # initial elements, floats as their bits
    pointer: bool = False  # a parameter that NVRTC marks as pointer (it does for sm_100 and later)


@dataclass
class Function:
    name: str
    entry: bool  # a kernel, not a function that kernels call
    parameters: list[Variable]
    results: list[Variable]
    registers: dict[str, str] = field(default_factory=dict)  # name: type
    variables: list[Variable] = field(default_factory=list)  # of the spaces shared, local and param (for calls)
    body: list[Instruction | Label] = field(default_factory=list)
    max_threads: int | None = None  # of __launch_bounds__


@dataclass
class Module:
    functions: list[Function] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)


SIZES = {"pred": 1, "f32": 4, "f64": 8, **{f"{kind}{8 * size}": size for kind in "usb" for size in (1, 2, 4, 8)}}


def parse(text: str) -> Module:
    """The functions and variables of a PTX file."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    text = re.sub(r"\.section\s+\S+\s*\{.*?\}", "", text, flags=re.S)
    text = re.sub(r"^\s*(\.(?:loc|file)\b[^\n]*|\.(?:version|target|address_size)\b[^\n]*)", r"\1;", text, flags=re.M)
    files = {int(m[1]): m[2].split("/")[-1] for m in re.finditer(r'\.file\s+(\d+)\s+"([^"]*)"', text)}
    module, parser = Module(), None
    for statement in _statements(text):
        if parser is not None:
            try:
                goes_on = parser.take(statement)
            except PtxError as error:
                raise PtxError(f"{parser.function.name}: {error}") from None
            if not goes_on:
                module.functions.append(parser.function)
                parser = None
        elif re.search(r"\.(entry|func)\b", statement):
            if statement.endswith("{"):  # otherwise it only announces a function
                parser = _FunctionParser(_header(statement), files)
        elif re.match(r"(\.(visible|extern|weak|common)\s+)*\.(const|global|shared)\b", statement):
            module.variables.append(_variable(statement))
        elif not re.match(r"\.(version|target|address_size|file|loc)\b", statement):
            raise PtxError(f"PTX: not understood: {statement}")
    return module


def _statements(text: str) -> Iterator[str]:
    """Cut ``text`` at semicolons, labels and the braces of scopes (not those of vectors and initial values)."""
    start = depth = 0  # where the statement begins; how many braces of vectors are open
    for match in re.finditer(r"[{};:]", text):
        mark, sofar = match[0], text[start:match.start()].strip()
        opens = mark == "{" and depth == 0 and (not sofar or re.search(r"\.(entry|func)\b", sofar))
        closes = mark == "}" and depth == 0
        if mark == ":":
            if not re.fullmatch(r"[\w$]+", sofar) or text.startswith("::", match.start()):
                continue  # not a label, but a modifier such as .L2::128B
        elif not opens and not closes and mark != ";":
            depth += 1 if mark == "{" else -1
            continue
        start = match.end()
        if mark != ";" or sofar:
            yield " ".join((sofar + mark).split()).rstrip(";")


def _header(statement: str) -> Function:
    match = re.search(r"\.(entry|func)\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*(?:\((.*?)\))?([^()]*)\{$", statement,
                      flags=re.S)
    if match is None:
        raise PtxError(f"PTX: not understood: {statement}")
    kind, results, name, parameters, attributes = match.groups()
    threads = re.search(r"\.(?:maxntid|reqntid)\s+([\d,\s]+)", attributes)
    product = 1
    for extent in threads[1].split(",") if threads else ():
        product *= int(extent)
    return Function(name, kind == "entry", _parameters(parameters), _parameters(results),
                    max_threads=product if threads else None)


def _parameters(text: str | None) -> list[Variable]:
    return [_variable(item.strip()) for item in (text or "").split(",") if item.strip()]


_VARIABLE = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?P<space>param|const|global|shared|local)\s+(?:\.align\s+(?P<align>\d+)\s+)?"
    r"\.(?P<type>\w+)\s+(?P<pointer>\.ptr\s+(?:\.\w+\s+)*?(?:\.align\s+\d+\s+)?)?(?P<name>[\w$]+)\s*(?P<array>(?:\[\d*\])*)"
    r"\s*(?:=\s*(?P<values>.*))?$", re.S)


def _variable(text: str) -> Variable:
    match = _VARIABLE.match(text)
    if match is None or match["type"] not in SIZES:
        raise PtxError(f"PTX: variable not understood: {text}")
    size = SIZES[match["type"]]
    count = 1
    for extent in re.findall(r"\[(\d*)\]", match["array"]):
        count *= int(extent or 0)
    values = tuple(_bits(value) for value in (match["values"] or "").strip("{} ").split(",") if value.strip())
    return Variable(match["name"], match["space"], match["type"], count * size, int(match["align"] or size), values,
                    match["pointer"] is not None)


def _bits(text: str) -> int:
    operand = _constant(text.strip())
    if operand is None:
        raise PtxError(f"PTX: initial value not understood: {text}")
    return operand.bits if isinstance(operand, Float) else operand.value


def _constant(text: str) -> Integer | Float | None:
    if match := re.fullmatch(r"0[fF]([0-9A-Fa-f]{8})|0[dD]([0-9A-Fa-f]{16})", text):
        return Float(int(match[1] or match[2], 16), 4 if match[1] else 8)
    if re.fullmatch(r"[+-]?(0[xX][0-9A-Fa-f]+|\d+)U?", text):
        return Integer(int(text.rstrip("U"), 0))
    return None


_SPECIAL = re.compile(r"%[a-z]\w*(?:\.[xyz])?")


class _FunctionParser:
    """Reads a function's body, statement by statement."""

    def __init__(self, function: Function, files: dict[int, str]) -> None:
        self.function = function
        self._files = files
        self._location = Location("?", 0)
        self._scopes: list[dict[str, str]] = [{}]  # what a name is called in the function as a whole
        self._unique = 0

    def take(self, statement: str) -> bool:
        """Read one statement; False when it ends the function."""
        if statement == "{":
            self._scopes.append({})
        elif statement == "}":
            self._scopes.pop()
        elif statement.endswith(":") and not statement.startswith("."):
            self.function.body.append(Label(statement[:-1]))
        elif statement.startswith(".loc "):
            self._set_location(statement)
        elif statement.startswith(".reg"):
            self._declare_registers(statement)
        elif statement.startswith(".branchtargets"):
            label = self.function.body.pop()
            assert isinstance(label, Label)
            names = tuple(name.strip() for name in statement.removeprefix(".branchtargets").split(","))
            self.function.body.append(Label(label.name, names))
        elif re.match(r"\.(param|shared|local)\b", statement):
            variable = _variable(statement)
            name = self._declare(variable.name)
            self.function.variables.append(Variable(name, *list(vars(variable).values())[1:]))
        elif not statement.startswith((".pragma", ".file")):
            self.function.body.append(self._instruction(statement))
        return bool(self._scopes)

    def _set_location(self, statement: str) -> None:
        """".loc file line column"; line 0 is code of no line, which we count to the line before."""
        file, line = (int(number) for number in statement.split()[1:3])
        if line:
            self._location = Location(self._files.get(file, "?"), line)

    def _declare_registers(self, statement: str) -> None:
        match = re.match(r"\.reg\s+\.(\w+)\s+(.*)$", statement)
        if match is None or match[1] not in SIZES:
            raise PtxError(f"PTX: registers not understood: {statement}")
        for item in match[2].split(","):
            stem, count = re.fullmatch(r"\s*([\w$%]+)(?:<(\d+)>)?\s*", item).groups()  # type: ignore[union-attr]
            for name in [stem] if count is None else [f"{stem}{i}" for i in range(int(count))]:
                self.function.registers[self._declare(name)] = match[1]

    def _declare(self, name: str) -> str:
        unique = name
        if len(self._scopes) > 1:
            self._unique += 1
            unique = f"{name}_inner{self._unique}"
        self._scopes[-1][name] = unique
        return unique

    def _instruction(self, statement: str) -> Instruction:
        match = re.match(r"(?:@(!?)([\w$%]+)\s+)?([\w.:]+)\s*(.*)$", statement)
        if match is None:
            raise PtxError(f"PTX: not understood: {statement}")
        negated, guard, opcode, operands = match.groups()
        name, *modifiers = re.split(r"(?<!:)\.", opcode)
        return Instruction(name, tuple(modifiers), tuple(self._operand(text) for text in _split(operands)),
                           Register(self._resolve(guard), negated == "!") if guard else None, self._location, statement)

    def _resolve(self, name: str) -> str:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), name)

    def _operand(self, text: str) -> Operand:
        if text[0] in "{(":
            return Vector(tuple(self._operand(item) for item in _split(text[1:-1])))
        if text[0] == "[":
            return self._address(text)
        if "|" in text:
            return Vector(tuple(self._operand(item.strip()) for item in text.split("|")))
        if constant := _constant(text):
            return constant
        name = self._resolve(text.lstrip("!"))
        if name in self.function.registers:
            return Register(name, text.startswith("!"))
        if text == "_":
            return Symbol("_")
        if _SPECIAL.fullmatch(text):
            return Special(text[1:])
        if not re.fullmatch(r"[\w$]+", name):
            raise PtxError(f"PTX: operand not understood: {text}")
        return Symbol(name)

    def _address(self, text: str) -> Address:
        match = re.fullmatch(r"\[\s*([\w$%]+)\s*(?:\+\s*(-?\w+))?\s*\]", text)
        if match is None:
            raise PtxError(f"PTX: address not understood: {text}")
        return Address(self._operand(match[1]), int(match[2] or "0", 0))


def _split(text: str) -> list[str]:
    """Cut at the commas that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [part for part in (*parts, text[start:].strip()) if part]
