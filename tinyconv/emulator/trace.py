"""What one block of a launch reads and writes, as the memory system sees it: requests, sectors and bank conflicts.

A *request* is one instruction of one warp: up to 32 addresses at once.

Global memory moves in *sectors* of 32 bytes.  A request costs as many sectors as its addresses fall into; the ideal is
as many as its bytes would fill.  32 floats side by side: 4 sectors, ideally 4.  Every other float: 8 sectors, ideally
4: half of what is moved is thrown away.

Shared memory has 32 *banks* of 4 bytes: word i is in bank i mod 32.  A bank serves one word at a time, to all lanes
that want it.  A request costs as many *wavefronts* as the busiest bank has different words to serve; the ideal is 1.
Lanes that ask for 8 bytes are served 16 at a time, for 16 bytes 8 at a time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .arguments import Argument
from .devices import Device
from .launches import Launch, watched
from .limits import WARP
from .module import Access
from .settings import checking, device_count

SECTOR = 32  # bytes
BANKS, WORD = 32, 4  # banks, bytes

Block = tuple[int, int, int]


@dataclass(frozen=True, order=True)
class Place:
    """What a line of the source does to memory."""

    file: str
    line: int
    space: str  # "global" or "shared"
    array: str  # the kernel's name for it, in global memory
    write: bool
    nbytes: int  # per lane

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Request:
    """One instruction of one warp."""

    place: Place
    warp: int
    lanes: dict[int, int]  # lane -> address (in shared memory: offset)

    @property
    def nbytes(self) -> int:
        return self.place.nbytes

    @cached_property
    def cost(self) -> int:
        """Sectors, or wavefronts."""
        return len(self.sectors) if self.place.space == "global" else sum(self._wavefronts())

    @cached_property
    def ideal(self) -> int:
        if self.place.space == "shared":
            return len(self._wavefronts())
        return -(-len({byte for start in self.lanes.values() for byte in range(start, start + self.nbytes)}) // SECTOR)

    @property
    def sectors(self) -> list[int]:
        return sorted({byte // SECTOR for start in self.lanes.values()
                       for byte in (start, start + self.nbytes - 1)})

    def words(self, lanes: Iterable[int]) -> set[int]:
        """The words of shared memory that these lanes touch."""
        return {word for lane in lanes if lane in self.lanes
                for word in range(self.lanes[lane] // WORD, (self.lanes[lane] + self.nbytes - 1) // WORD + 1)}

    def _wavefronts(self) -> list[int]:
        """For each group of lanes that is served together: the words that its busiest bank has to serve."""
        together = min(WARP, WARP * WORD // self.nbytes)
        groups = [self.words(range(first, first + together)) for first in range(0, WARP, together)]
        return [max(Counter(word % BANKS for word in words).values()) for words in groups if words]


@dataclass(frozen=True)
class Line:
    """What the requests of one place in the source add up to, in one block."""

    kernel: str
    place: Place
    requests: int
    cost: int  # sectors of global memory, wavefronts of shared memory
    ideal: int

    @property
    def per_request(self) -> float:
        return self.cost / self.requests

    @property
    def ideal_per_request(self) -> float:
        return self.ideal / self.requests


@dataclass(frozen=True)
class Trace:
    """One launch, and the requests that one of its blocks made, in order."""

    launch: Launch
    block: Block
    requests: list[Request]

    @property
    def lines(self) -> list[Line]:
        """In the order of the source."""
        by_place: dict[Place, list[Request]] = defaultdict(list)
        for request in self.requests:
            by_place[request.place].append(request)
        return [Line(self.launch.name, place, len(group), sum(r.cost for r in group), sum(r.ideal for r in group))
                for place, group in sorted(by_place.items())]


def trace(run: Callable[[], None], block: Block = (0, 0, 0)) -> list[Trace]:
    """Run ``run`` and trace this block of every launch that it makes on emulated devices."""
    traces: list[Trace] = []

    def watch(launch: Launch) -> None:
        if all(0 <= at < size for at, size in zip(block, launch.grid, strict=True)):
            traces.append(Trace(launch, block, requests(launch.trace(block), launch.arguments)))

    for index in range(device_count()):
        Device(index).synchronize()  # what was launched before is not to be traced
    with checking(streams="eager"), watched(watch):
        run()
    return traces


def statistics(run: Callable[[], None], block: Block = (0, 0, 0)) -> list[Line]:
    """The lines of every launch that ``run`` makes: what tests hold against the ideal.

    >>> statistics(lambda: relu.forward(x, y))                                                       # doctest: +SKIP
    [Line(kernel='forward', place=Place(file='relu.cu', line=8, ...), requests=8, cost=32, ideal=32), ...]
    """
    return [line for each in trace(run, block) for line in each.lines]


def requests(accesses: Iterable[Access], arguments: Sequence[Argument]) -> list[Request]:
    """What single lanes did, put together to what their warps did.

    A place may hold several instructions (a loop that the compiler unrolled): the n-th that one lane performs goes with
    the n-th of the other lanes."""
    grouped: dict[tuple[Place, int, int, int], dict[int, int]] = {}
    performed: Counter[tuple[Place, int, int, int]] = Counter()
    for a in accesses:
        array = _array(a.address, arguments) if a.space == "global" else ""
        place = Place(a.file, a.line, a.space, array, a.write, a.nbytes)
        nth = performed[place, a.occurrence, a.warp, a.lane]
        performed[place, a.occurrence, a.warp, a.lane] += 1
        grouped.setdefault((place, a.occurrence, a.warp, nth), {})[a.lane] = a.address
    return [Request(place, warp, lanes) for (place, _, warp, _), lanes in grouped.items()]


def _array(address: int, arguments: Sequence[Argument]) -> str:
    """The kernel's name for the array that ``address`` lies in."""
    return next((a.name for a in arguments if a.start <= address < a.end), "")
