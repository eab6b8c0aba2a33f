"""The budget: the figures that every kernel had when ``budget.json`` was written, which none may fall behind.

Another version of the compiler makes other code of the same kernels, so a budget holds for the version that it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinyconv.safefile import write_text

from .figures import Figures

PATH = Path(__file__).with_name("budget.json")
_WORSE_IF_LESS = ("occupancy", "fma_share", "ceiling")  # of the others more is worse
Lines = dict[str, dict[str, dict[str, Any]]]  # kernel -> architecture -> figures


def read(path: Path = PATH) -> tuple[str, Lines]:
    """The compiler's version and the figures."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["nvrtc"], content["kernels"]


def write(figures: Sequence[Figures], nvrtc: str, path: Path = PATH) -> None:
    """A line per kernel and architecture, so that a change shows as such in a diff."""
    kernels = ",\n".join(f'  {json.dumps(kernel)}: {{\n' + ",\n".join(
        f'   "{architecture}": {json.dumps(line)}' for architecture, line in of_kernel.items()) + "}"
        for kernel, of_kernel in sorted(lines(figures).items()))
    write_text(path, f'{{"nvrtc": {json.dumps(nvrtc)},\n "kernels": {{\n{kernels}}}}}\n')


def lines(figures: Sequence[Figures]) -> Lines:
    found: Lines = {}
    for each in figures:
        found.setdefault(each.kernel, {})[str(each.architecture)] = _line(each)
    return found


def overruns(figures: Sequence[Figures], allowed: Lines) -> Iterator[str]:
    """A sentence for each figure that is worse than the budget allows, and for each kernel that only one side has."""
    found = lines(figures)
    for kernel in sorted(found.keys() ^ allowed.keys()):
        yield f"{kernel}: {'not in the budget' if kernel in found else 'in the budget, but nothing launches it'}"
    for kernel in sorted(found.keys() & allowed.keys()):
        for architecture in found[kernel].keys() & allowed[kernel].keys():
            now, then = found[kernel][architecture], allowed[kernel][architecture]
            where = f"{kernel}, sm_{architecture}"
            if now.keys() != then.keys():
                yield f"{where}: has its multiply-adds in a loop now, or no longer"
            yield from (f"{where}: {name} is {now[name]}, the budget {then[name]}" for name in now.keys() & then.keys()
                        if _worse(name, now[name], then[name]))


def _worse(name: str, now: float, then: float) -> bool:
    return now < then if name in _WORSE_IF_LESS else now > then


def _line(f: Figures) -> dict[str, Any]:
    line: dict[str, Any] = {"registers": f.registers, "spills": f.spills, "shared": f.shared + f.dynamic_shared,
                            "occupancy": f.occupancy}
    if f.multiplies:
        line |= {"fma_share": f.fma_share, "ceiling": f.ceiling, "shared_bytes_per_fma": f.shared_bytes_per_fma,
                 "global_bytes_per_fma": f.global_bytes_per_fma}
    return {name: round(number, 4) for name, number in line.items()}
