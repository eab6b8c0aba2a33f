"""Finds the loop in which a kernel spends its time.

Machine code has no loops, only branches.  A *basic block* is a run of instructions that is entered at its first and
left at its last.  Block d *dominates* block b if every way from the entry to b leads through d.  A branch from b back
to a block h that dominates b closes a *natural loop*: h, and all blocks from which b is reached without passing h.
(Not every branch backwards is a loop: the compiler puts rare cases behind the end of the kernel, and from there they
branch back into its middle, which does not dominate them if there is another way to them.)  Aho, Lam, Sethi, Ullman:
*Compilers*, section 9.6.

The *hot loop* is the one with the most multiply-adds, of those that have no such loop inside; in a kernel without
multiply-adds in loops, the one that loads most from global memory; in a kernel without loops, all that can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .sass import BYTES, GLOBAL_LOADS, Instruction

_MEETINGS = ("BSSY", "BSYNC")  # BSSY names the place at which the threads that meet at BSYNC go on together
_ENDS = ("EXIT", "RET", "BRX", "JMX")  # nothing follows them, or nothing that the code tells


@dataclass(frozen=True)
class Hot:
    """``looped`` is False where there is no loop, and the instructions are those of the whole kernel."""

    instructions: tuple[Instruction, ...]
    looped: bool


def hot(instructions: Sequence[Instruction]) -> Hot:
    blocks = _blocks(instructions)
    successors = [_successors(block, blocks, instructions) for block in blocks]
    dominators = _dominators(successors)
    loops = [_gather(blocks, body) for body in _natural_loops(successors, dominators)]
    for weight in (_fma, _loaded):
        if innermost := _innermost([loop for loop in loops if weight(loop)]):
            return Hot(max(innermost, key=weight), True)
    return Hot(_gather(blocks, {b for b, found in enumerate(dominators) if found}), False)


def _fma(instructions: Sequence[Instruction]) -> float:
    return sum(each.fma + each.tensor_fma for each in instructions)


def _loaded(instructions: Sequence[Instruction]) -> float:
    return sum(each.nbytes for each in instructions if each.name in GLOBAL_LOADS)


def _innermost(loops: list[tuple[Instruction, ...]]) -> list[tuple[Instruction, ...]]:
    bodies = [{each.address for each in loop} for loop in loops]
    return [loop for loop, body in zip(loops, bodies, strict=True) if not any(other < body for other in bodies)]


def _gather(blocks: Sequence[Sequence[Instruction]], chosen: set[int]) -> tuple[Instruction, ...]:
    return tuple(each for b in sorted(chosen) for each in blocks[b])


def _blocks(instructions: Sequence[Instruction]) -> list[Sequence[Instruction]]:
    starts = {0}
    for each in instructions:
        if each.target is not None:
            starts.add(each.target)
        if each.name in ("BRA", *_MEETINGS, *_ENDS):
            starts.add(each.address + BYTES)
    bounds = sorted(start // BYTES for start in starts if start <= instructions[-1].address) + [len(instructions)]
    return [instructions[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


def _successors(block: Sequence[Instruction], blocks: Sequence[Sequence[Instruction]],
                instructions: Sequence[Instruction]) -> set[int]:
    index = {each[0].address: b for b, each in enumerate(blocks)}
    last = block[-1]
    passes = last.conditional if last.name == "BRA" else last.name not in _ENDS or bool(last.predicate)
    targets = [last.address + BYTES] if passes else []
    if last.name == "BRA" and last.target is not None:
        targets.append(last.target)
    if last.name == "BSYNC":
        targets = [_meeting_point(last, instructions)]
    return {index[target] for target in targets if target in index}


def _meeting_point(bsync: Instruction, instructions: Sequence[Instruction]) -> int:
    barrier = bsync.operands[-1]
    for each in reversed(instructions[:bsync.address // BYTES]):
        if each.name == "BSSY" and each.operands[0] == barrier and each.target is not None:
            return each.target
    return bsync.address + BYTES


def _dominators(successors: Sequence[set[int]]) -> list[set[int]]:
    """Of each block; nothing for a block that cannot be reached."""
    reached = _reachable(0, successors)
    before = _predecessors(successors, reached)
    found = [set(reached) if b in reached else set() for b in range(len(successors))]
    found[0] = {0}
    changed = True
    while changed:
        changed = False
        for b in sorted(reached - {0}):
            new = {b}.union(set.intersection(*(found[a] for a in before[b])))
            changed |= new != found[b]
            found[b] = new
    return found


def _natural_loops(successors: Sequence[set[int]], dominators: Sequence[set[int]]) -> list[set[int]]:
    """One for each header: branches back to the same one are ways through the same loop."""
    loops: dict[int, set[int]] = {}
    before = _predecessors(successors, range(len(successors)))
    for b, targets in enumerate(successors):
        for header in targets & dominators[b]:
            loops.setdefault(header, {header}).update(_reachable(b, before, without=header))
    return list(loops.values())


def _predecessors(successors: Sequence[set[int]], among: Iterable[int]) -> list[set[int]]:
    return [{a for a in among if b in successors[a]} for b in range(len(successors))]


def _reachable(start: int, neighbours: Sequence[set[int]], without: int | None = None) -> set[int]:
    """``start`` and what it leads to, but not past the block ``without``."""
    found, waiting = {start}, [start]
    while waiting:
        block = waiting.pop()
        new = neighbours[block] - found if block != without else set()
        found |= new
        waiting.extend(new)
    return found
