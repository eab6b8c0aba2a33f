"""What a kernel asks of global memory: how wide its loads are, and how many of them are under way at once.

A kernel that memory bounds is as fast as it keeps memory busy.  By Little's law, bytes in flight = bandwidth x latency:
an A100 (1555 GB/s, some 500 ns, 108 SMs) wants about 7 KiB in flight on every SM, an H100 (3350 GB/s) about 13 KiB.
They come from many threads, from several loads per thread before the first result is used, and from wide loads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .sass import Instruction

_REGISTER = re.compile(r"\bR(\d+)")


@dataclass(frozen=True)
class Traffic:
    """Per thread: ``width``, bytes per load on average, and ``in_flight``, loads issued before a result is waited
    for."""

    width: float
    in_flight: int


def traffic(code: Sequence[Instruction], looped: bool) -> Traffic:
    """Of a hot loop, or of straight code.  Loads into registers only: what cp.async fetches, nobody waits for by
    reading a register."""
    loads = [each for each in code if each.name == "LDG" and not each.never]
    if not loads:
        return Traffic(0.0, 0)
    return Traffic(sum(each.nbytes for each in loads) / len(loads), _most_pending([*code] * (2 if looped else 1)))


def _most_pending(code: Sequence[Instruction]) -> int:
    """A load is pending until an instruction reads or overwrites its register.  In a loop, what one turn loads the next
    may use: hence the code twice."""
    pending: dict[int, int] = {}  # register -> address of the load
    most = 0
    for each in code:
        touched = {number for operand in each.operands for number in _registers(operand)}
        waited_for = {pending[number] for number in touched if number in pending}
        pending = {number: load for number, load in pending.items() if load not in waited_for}
        if each.name == "LDG" and not each.never:
            first = min(_registers(each.operands[0]), default=None)
            if first is not None:
                pending.update({first + i: each.address for i in range(-(-each.nbytes // 4))})
        most = max(most, len(set(pending.values())))
    return most


def _registers(operand: str) -> set[int]:
    """``R4`` in ``R4``, ``-R4.reuse``, ``desc[UR4][R4.64]``."""
    return {int(number) for number in _REGISTER.findall(operand)}
