"""Loads, stores, atomics, fences and asynchronous copies."""

from __future__ import annotations

from ..operation import CPP, OperandError, Operation, cpp_name
from ..ptx import SIZES, Address, Integer, Symbol
from .table import opcode

_SPACES = {"global": "Global", "const": "Global", "shared": "Shared", "shared::cta": "Shared", "local": "Local"}
_CACHE_HINTS = ("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "L1::evict_normal", "L1::evict_unchanged",
                "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B")
_SCOPES = {"cta": "Block", "cluster": "Block", "gpu": "Device", "gl": "Device", "sys": "Device"}  # a cluster: 1 block


def _space(o: Operation) -> str:
    return _SPACES.get(o.take(*_SPACES) or "", "Generic")


def _pointer(o: Operation, space: str, index: int, kind: str, nbytes: int, scope: str = "Device") -> str:
    """``char* at``: where operand ``index`` points, after the checker has seen it."""
    address = o.writer.address(o.operands[index], space)
    return f"char* const at = {space.lower()}(thread, {address}, {o.site(kind, space, nbytes, scope)});"


def _synchronising(o: Operation) -> tuple[str | None, str, str]:
    """How threads may synchronise by this access, and in which scope; and a fence, if it publishes what came before."""
    order = o.take("relaxed", "acquire", "release", "acq_rel", "volatile", "weak")
    scope = _SCOPES[o.take(*_SCOPES) or "gpu"]
    fence = f"memory_fence(thread, Scope::{scope}); " if order in ("release", "acq_rel") else ""
    return order, scope, fence


def _load_kind(o: Operation, order: str | None) -> str:
    """A volatile load is a relaxed one, as PTX has it.  (A volatile store stays a plain one here: threads that hand
    values to one another by nothing better are a race.)"""
    if "nc" in o.modifiers:
        return "Constant"
    return "AtomicRead" if order in ("relaxed", "acquire", "volatile") else "Read"


def _drop_hints(o: Operation) -> None:
    while o.take(*_CACHE_HINTS):
        pass


@opcode("ld")
def _load(o: Operation) -> str:
    type_ = o.type("busf")
    order, scope, _ = _synchronising(o)
    kind = _load_kind(o, order)
    _drop_hints(o)
    o.take("v2", "v4", "v8")
    size, copy = SIZES[type_], type_[0] == "b"
    targets = o.items(0)
    writes = " ".join(o.writer.write(target, type_, f"get<{CPP[type_]}>(at + {i * size})", copy)
                      for i, target in enumerate(targets))
    if o.take("param", "param::entry", "param::func"):
        return f"{{ const char* const at = {_parameter(o, 1)}; {writes} }}"
    space = _space(o)
    acquire = " acquire(thread);" if order == "acquire" else ""
    return f"{{ {_pointer(o, space, 1, kind, size * len(targets), scope)} {writes}{acquire} }}"


@opcode("st")
def _store(o: Operation) -> str:
    type_ = o.type("busf")
    order, scope, fence = _synchronising(o)
    kind = "AtomicWrite" if order in ("relaxed", "release") else "Write"
    _drop_hints(o)
    o.take("v2", "v4", "v8")
    size, copy = SIZES[type_], type_[0] == "b"
    sources = o.items(1)
    writes = " ".join(f"put<{CPP[type_]}>(at + {i * size}, {o.writer.read(source, type_, copy)});"
                      for i, source in enumerate(sources))
    if o.take("param", "param::func"):
        return f"{{ char* const at = {_parameter(o, 0)}; {writes} }}"
    space = _space(o)
    return f"{{ {fence}{_pointer(o, space, 0, kind, size * len(sources), scope)} {writes} }}"


def _parameter(o: Operation, index: int) -> str:
    """Where a parameter lies, as a C++ pointer.  It is the function's own and needs no checks."""
    address = o.operands[index]
    if not isinstance(address, Address):
        raise OperandError
    if isinstance(address.base, Symbol):
        return f"{cpp_name(address.base.name)} + {address.offset}"
    return f"reinterpret_cast<char*>({o.writer.address(address, 'Global')})"


_ATOMIC = {"add": "old + value", "and": "old & value", "or": "old | value", "xor": "old ^ value", "exch": "value",
           "min": "minimum(old, value)", "max": "maximum(old, value)", "cas": "old == compare ? value : old",
           "inc": "old >= value ? 0 : old + 1", "dec": "old == 0 || old > value ? value : old - 1"}


@opcode("atom", "red")
def _atomic(o: Operation) -> str:
    type_ = o.type("busf")
    first = 1 if o.instruction.opcode == "atom" else 0  # red returns nothing
    space, (_, scope, fence) = _space(o), _synchronising(o)
    kind = o.need(*_ATOMIC)
    pointer = _pointer(o, space, first, "Atomic", SIZES[type_], scope)
    value = f"const {CPP[type_]} value = {o.read(first + (2 if kind == 'cas' else 1), type_)};"
    if kind == "cas":
        value += f" const {CPP[type_]} compare = {o.read(first + 1, type_)};"
    result = _ATOMIC[kind]
    if type_ == "f32" and space == "Global":  # the hardware's float adder in the cache has no subnormal numbers
        result = "flush(flush(old) + flush(value))"
    update = f"atomic<{CPP[type_]}>(at, [&]({CPP[type_]} old) -> {CPP[type_]} {{ return {result}; }})"
    return f"{{ {fence}{pointer} {value} {o.write(type_, update) if first else update + ';'} }}"


@opcode("isspacep")
def _is_space(o: Operation) -> str:
    space = o.need("shared", "global")
    return o.write("pred", f"{'' if space == 'shared' else '!'}in_shared(thread, {o.read(1, 'u64')})")


@opcode("prefetch")
def _prefetch(o: Operation) -> str:
    o.modifiers.clear()  # all of them say which cache
    return ";"


@opcode("membar", "fence")
def _fence(o: Operation) -> str:
    o.take("sc", "acq_rel")
    return f"memory_fence(thread, Scope::{_SCOPES[o.need(*_SCOPES)]});"


@opcode("cp")
def _copy_async(o: Operation) -> str:
    o.need("async")
    if o.take("commit_group"):
        return "commit_group(thread);"
    if o.take("wait_all"):
        return "wait_all(thread);"
    if o.take("wait_group"):
        return f"wait_group(thread, {o.read(0, 'u32')});"
    o.need("ca", "cg")
    o.need("shared", "shared::cta")
    o.need("global")
    _drop_hints(o)
    size = o.operands[2]
    if not isinstance(size, Integer) or size.value not in (4, 8, 16):
        o.unknown("size of this copy")
    valid = o.read(3, "u32") if len(o.operands) > 3 else str(size.value)
    write, read = o.site("Write", "Shared", size.value), o.site("Read", "Global", size.value)
    to, source = o.writer.address(o.operands[0], "Shared"), o.writer.address(o.operands[1], "Global")
    return f"copy_async(thread, {write}, {read}, {to}, {source}, {size.value}, {valid});"
