"""Asks every ``cuda.py`` what it launches: kernels, macros, threads and dynamic shared memory.

These are decided by Python code, from shapes.  Instead of repeating the decisions here, the code is run, on arrays that
nobody reads, with a stand-in for CuPy that compiles nothing and only notes each launch.  ``calls.py`` lists the calls.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from tinyconv.kernels import gpu
from tinyconv.kernels.gpu import ladder
from tinyconv.kernels.scratch import deal, wanted_by

from .calls import CALLS, empty
from .compiler import Program


@dataclass(frozen=True)
class Launch:
    """``name`` is as ``conv/naive.cu:forward``, with the macros behind it if there are any; ``asked``: the call that
    launches it first, and which rung of its ladder, as ``conv.forward=naive``."""

    name: str
    asked: str
    kernel: str
    program: Program
    threads: int
    shared: int


def launches(architecture: int) -> list[Launch]:
    """Every kernel of every layer, as it is launched on this architecture; each way of launching it once."""
    recorder = _Recorder(architecture)
    with _instead_of_cupy(recorder):
        done = set()
        for name, arrays, options in CALLS:
            for rung in ladder.RUNGS.get(name, ()) if name not in done else ():
                recorder.asked = f"{name}={rung}"
                with ladder.use_rung(name, rung):
                    _call(name, arrays(), dict(options))
            recorder.asked = name
            _call(name, arrays(), dict(options))
            done.add(name)
    return _named(list(recorder.launches.values()))


def _call(name: str, arrays: list[Any], options: dict[str, Any]) -> None:
    layer, function = name.split(".")
    module = importlib.import_module(f"tinyconv.kernels.{layer}.cuda")
    kernel = getattr(module, function)
    if wanted_by(kernel):
        options["scratch"] = partial(deal, lambda size: empty(size, np.uint8))
    kernel(*arrays, **options)


@contextmanager
def _instead_of_cupy(recorder: _Recorder) -> Iterator[None]:
    before = gpu._cupy
    gpu.use(recorder)
    try:
        yield
    finally:
        gpu.use(before)


class _Recorder:
    """What of CuPy a ``cuda.py`` uses: a module of kernels, and the architecture of the device."""

    def __init__(self, architecture: int) -> None:
        self.launches: dict[tuple[Any, ...], Launch] = {}
        self.asked = ""
        device = SimpleNamespace(compute_capability=str(architecture))
        self.cuda = SimpleNamespace(Device=lambda *index: device)

    def RawModule(self, code: str, options: tuple[str, ...]) -> SimpleNamespace:  # noqa: N802 (CuPy's name)
        program = Program(_file(code), code, options)
        return SimpleNamespace(get_function=lambda kernel: _Kernel(self, program, kernel))


class _Kernel:
    def __init__(self, recorder: _Recorder, program: Program, kernel: str) -> None:
        self._recorder, self._program, self._kernel = recorder, program, kernel

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: Any, *, shared_mem: int = 0) -> None:
        threads, asked = math.prod(block), self._recorder.asked
        launch = Launch(_name(self._program, self._kernel), asked, self._kernel, self._program, threads, shared_mem)
        self._recorder.launches.setdefault((launch.name, threads, shared_mem), launch)


def _name(program: Program, kernel: str) -> str:
    ours = [option[2:] for option in program.options if option.startswith("-D") and not option.startswith("-DREAL=")]
    return " ".join([f"{program.file}:{kernel}", *ours])


def _file(code: str) -> str:
    """As the first line has it, which ``kernels/gpu`` writes: ``#line 1 "conv/naive.cu"``."""
    return code.split('"', 2)[1]


def _named(found: Sequence[Launch]) -> list[Launch]:
    """With the number of threads in the name where only that tells two launches apart."""
    count = Counter(launch.name for launch in found)
    return [replace(launch, name=f"{launch.name} {launch.threads} threads") if count[launch.name] > 1 else launch
            for launch in found]
