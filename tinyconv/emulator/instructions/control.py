"""Jumps and calls, and the operations in which threads meet."""

from __future__ import annotations

from ..operation import CPP, Operation, goto
from ..ptx import Symbol, Vector
from .table import opcode


@opcode("bra")
def _branch(o: Operation) -> str:
    o.take("uni")
    return goto(o.writer.targets(o.instruction)[0])


@opcode("brx")
def _branch_indexed(o: Operation) -> str:
    o.need("idx")
    o.take("uni")
    cases = " ".join(f"case {i}: {goto(name)}" for i, name in enumerate(o.writer.targets(o.instruction)))
    return f"switch ({o.read(0, 'u32')}) {{ {cases} }} __builtin_unreachable();"


@opcode("call")
def _call(o: Operation) -> str:
    o.take("uni")
    functions = [operand for operand in o.operands if isinstance(operand, Symbol)]
    blocks = [operand.items for operand in o.operands if isinstance(operand, Vector)]  # (results), (arguments)
    if len(functions) != 1 or len(functions) + len(blocks) != len(o.operands):
        o.unknown("call through a pointer")
    if functions[0].name not in o.writer.layout.functions:
        o.unknown(f"function {functions[0].name}, which the file does not define")
    return o.writer.call(functions[0].name, tuple(item for items in blocks for item in items))


@opcode("ret", "exit")
def _return(o: Operation) -> str:
    o.take("uni")
    if o.instruction.opcode == "exit" and not o.writer.function.entry:
        o.unknown("exit from a function that is not a kernel")
    return "return;"


@opcode("trap", "brkpt")
def _trap(o: Operation) -> str:
    return f'fail(thread, {o.site()}, "the kernel stops itself ({o.instruction.opcode})");'


# ------------------------------------------------------------------------------------------------ meeting other threads

@opcode("bar", "barrier")
def _barrier(o: Operation) -> str:
    o.writer.meets = True
    o.take("cta")
    o.take("aligned")
    if o.take("warp"):
        o.need("sync")
        return f"warp_barrier(thread, {o.site()}, {o.read(0, 'u32')});"
    if o.take("sync"):
        threads = o.read(1, "u32") if len(o.operands) > 1 else "0"
        return f"barrier(thread, {o.site()}, {o.read(0, 'u32')}, {threads});"
    o.need("red")
    type_, vote = o.type("up"), {"popc": "Count", "and": "All", "or": "Any"}[o.need("popc", "and", "or")]
    threads = o.read(2, "u32") if len(o.operands) > 3 else "0"
    ballot = o.read(len(o.operands) - 1, "pred")
    return o.write(type_, f"barrier(thread, {o.site()}, {o.read(1, 'u32')}, {threads}, Vote::{vote}, {ballot})")


@opcode("shfl")
def _shuffle(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    o.type("b")
    kind = {"up": "Up", "down": "Down", "bfly": "Butterfly", "idx": "Index"}[o.need("up", "down", "bfly", "idx")]
    target, *inside = o.items(0)
    b, c, mask = (o.read(i, "u32") for i in (2, 3, 4))
    call = f"shuffle(thread, {o.site()}, Shuffle::{kind}, {o.read(1, 'b32')}, {b}, {c}, {mask}, inside)"
    writes = o.writer.write(target, "b32", call) + "".join(" " + o.writer.write(p, "pred", "inside") for p in inside)
    return f"{{ bool inside; {writes} }}"


@opcode("vote")
def _vote(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    type_ = o.type("bp")
    kind = o.need("ballot", "any", "all", "uni")
    arguments = f"(thread, {o.site()}, {o.read(2, 'u32')}, {o.read(1, 'pred')})"
    result = {"ballot": f"ballot{arguments}", "any": f"ballot{arguments} != 0", "uni": f"vote_uniform{arguments}",
              "all": f"ballot(thread, {o.site()}, {o.read(2, 'u32')}, !({o.read(1, 'pred')})) == 0"}[kind]
    return o.write(type_, result)


@opcode("match")
def _match(o: Operation) -> str:
    o.writer.meets = True
    type_ = o.type("b")
    kind = o.need("any", "all")
    o.need("sync")
    target, *same = o.items(0)
    arguments = f"(thread, {o.site()}, {o.read(2, 'u32')}, {o.read(1, type_)}{', same' if kind == 'all' else ''})"
    writes = [o.writer.write(target, "b32", f"match_{kind}{arguments}"),
              *(o.writer.write(p, "pred", "same") for p in same)]
    return f"{{ bool same; {' '.join(writes)} }}"


@opcode("redux")
def _redux(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    type_, kind = o.type("bus"), o.need("add", "min", "max", "and", "or", "xor")
    kind = kind.capitalize() + ("Signed" if type_ == "s32" and kind in ("min", "max") else "")
    return o.write("b32", f"reduce(thread, {o.site()}, Reduction::{kind}, {o.read(2, 'u32')}, {o.read(1, 'b32')})")


@opcode("mma")
def _matrix_multiply(o: Operation) -> str:
    o.writer.meets = True
    k = {"m16n8k4": 4, "m16n8k8": 8}[o.need("m16n8k4", "m16n8k8")]
    for modifier in ("sync", "aligned", "row", "col", "f32", "tf32", "tf32", "f32"):
        o.need(modifier)
    d, a, b, c = (o.items(i) for i in range(4))
    inputs = [f"const {CPP[type_]} {name}[] = {{{', '.join(o.writer.read(item, type_) for item in items)}}};"
              for name, type_, items in (("a", "b32", a), ("b", "b32", b), ("c", "f32", c))]
    outputs = [o.writer.write(item, "f32", f"d[{i}]") for i, item in enumerate(d)]
    return f"{{ float d[4]; {' '.join(inputs)} mma_tf32(thread, {o.site()}, {k}, d, a, b, c); {' '.join(outputs)} }}"


@opcode("ldmatrix")
def _load_matrix(o: Operation) -> str:
    o.writer.meets = True
    o.type("b")
    for modifier in ("sync", "aligned", "m8n8"):
        o.need(modifier)
    o.need("shared", "shared::cta")
    count, transposed = int(o.need("x1", "x2", "x4")[1]), str(o.take("trans") is not None).lower()
    address = o.writer.address(o.operands[1], "Shared")
    outputs = [o.writer.write(item, "b32", f"words[{i}]") for i, item in enumerate(o.items(0))]
    load = f"load_matrices(thread, {o.site('Read', 'Shared', 16)}, {count}, {transposed}, {address}, words);"
    return f"{{ uint32_t words[4]; {load} {' '.join(outputs)} }}"
