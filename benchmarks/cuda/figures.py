"""All that the report says of one kernel on one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import loops
from .architectures import ARCHITECTURES
from .ceiling import ceiling
from .functions import Function, compiled
from .launches import Launch
from .occupancy import occupancy
from .sass import GLOBAL_LOADS, LOCAL_ACCESSES, SHARED_LOADS, Instruction
from .traffic import traffic


@dataclass(frozen=True)
class Figures:
    """``spills``: instructions that access local memory, which is where registers go that are one too many; ``shared``
    and ``dynamic_shared``: bytes per block; ``instructions`` and ``fma``, instructions that multiply and add, of the
    hot loop (of the whole kernel if it is not ``looped``); bytes per FMA: what one multiply-add of a thread costs in
    loads from shared and from global memory, None without multiply-adds; ``load_bytes``, ``loads_in_flight``: see
    ``traffic.py``."""

    kernel: str
    architecture: int
    threads: int
    registers: int
    stack: int
    spills: int
    shared: int
    dynamic_shared: int
    blocks: int
    occupancy: float
    occupancy_limiter: str
    looped: bool
    instructions: int
    fma: int
    shared_bytes_per_fma: float | None
    global_bytes_per_fma: float | None
    ceiling: float
    ceiling_limiter: str
    tensor: bool
    load_bytes: float
    loads_in_flight: int

    @property
    def multiplies(self) -> bool:
        """Whether multiply-adds are what it is about, and not a few of them in an exponential, say."""
        return self.looped and self.fma > 0

    @property
    def fma_share(self) -> float:
        return self.fma / self.instructions

    @property
    def bytes_in_flight(self) -> float:
        """Per SM, if all its threads wait for their loads."""
        return self.load_bytes * self.loads_in_flight * self.blocks * self.threads

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "fma_share": self.fma_share, "bytes_in_flight": self.bytes_in_flight}


def measure(wanted: Sequence[tuple[Launch, int]]) -> list[Figures]:
    """The figures of launches on architectures, in their order."""
    found = compiled(dict.fromkeys((launch.program, architecture) for launch, architecture in wanted))
    return [of(launch, architecture, found[launch.program, architecture][launch.kernel])
            for launch, architecture in wanted]


def of(launch: Launch, architecture: int, function: Function) -> Figures:
    hot = loops.hot(function.instructions)
    code = hot.instructions
    multiply_adds = [n for each in code if (n := each.fma + each.tensor_fma)]
    fma = sum(multiply_adds)
    able, limit = ARCHITECTURES[architecture], ceiling(ARCHITECTURES[architecture], code)
    fits = occupancy(able, launch.threads, function.registers, function.shared + launch.shared)
    loads = traffic(code, hot.looped)
    return Figures(
        launch.name, architecture, launch.threads, function.registers, function.stack,
        sum(each.name in LOCAL_ACCESSES for each in function.instructions), function.shared, launch.shared,
        fits.blocks, fits.share, fits.limiter, hot.looped, len(code), len(multiply_adds),
        _nbytes(code, SHARED_LOADS) / fma if fma else None, _nbytes(code, GLOBAL_LOADS) / fma if fma else None,
        limit.share, limit.limiter, "tensor" in limit.cycles, loads.width, loads.in_flight)


def _nbytes(code: Sequence[Instruction], names: tuple[str, ...]) -> float:
    return sum(each.nbytes for each in code if each.name in names)
