"""The processes in which the sides run, seen from the parent.

``torch`` is PyTorch as installed.  ``tuned`` is PyTorch told to keep its memory: a fresh page is zeroed by the system
at its first touch, which costs an installed PyTorch a fifth of its training step and more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from . import jobs, timing

ROOT = Path(__file__).resolve().parent.parent
# glibc: nothing by mmap, which would be given back when freed; and the heap never shrinks.  PyTorch sets neither.
KEEP_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
              "MALLOC_TOP_PAD_": str(64 << 20)}
# PyTorch comes first in its process: its threads then wait as they do where tinyconv is not (kernels/jit.py).
_PROGRAM = "{first}from benchmarks.{module} import {function}; {function}({arguments!s})"


def environment(side: str) -> dict[str, str]:
    """The variables that a side's process starts with."""
    variables = dict(os.environ)
    if side in (jobs.TORCH, jobs.TUNED):
        variables.pop("GOMP_SPINCOUNT", None)
    return {**variables, **KEEP_PAGES} if side == jobs.TUNED else variables


def command(side: str, module: str, function: str, /, **arguments: Any) -> list[str]:
    """Starts ``function`` of a module of this package in a process for ``side``."""
    first = "" if side not in (jobs.TORCH, jobs.TUNED) else "import torch; "
    return [sys.executable, "-c",
            _PROGRAM.format(first=first, module=module, function=function, arguments=f"**{arguments!r}")]


def report_of(side: str, module: str, function: str, variables: dict[str, str] | None = None, /,
              **arguments: Any) -> dict[str, Any]:
    """The JSON object that ``function`` prints last, in a process of its own.

    Raises CalledProcessError if it fails; what it wrote is on stderr."""
    done = subprocess.run(command(side, module, function, **arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          check=True, env={**environment(side), **(variables or {})})
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


class SideProcess:
    """A worker (see ``worker.py``) that was started, and asked one thing at a time."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.process = subprocess.Popen(command(side, "worker", "serve", side=side), cwd=ROOT, env=environment(side),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Raises RuntimeError with the worker's traceback if it failed, or if it is gone (out of memory, say)."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the process of {self.side} has ended with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.side}: {answer['error']}")
        return answer

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        with self.process.stdout:
            try:
                self.process.stdin.close()
                self.process.wait(timeout=10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()


class Sides:
    """The workers of a run: ``with Sides([...]) as sides: sides.time(job, effort)``.

    A job may be the end of a worker, where memory runs out.  The next job finds a new one."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.processes: dict[str, SideProcess] = {}

    def __enter__(self) -> Sides:
        with ExitStack() as stack:
            for name in self.names:
                self.processes[name] = SideProcess(name)
                stack.callback(lambda name=name: self.processes[name].close())
            self.threads = {name: process.ask("threads") for name, process in self.processes.items()}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()

    def time(self, job: jobs.Job, effort: timing.Effort) -> dict[str, timing.Timing]:
        """Prepare ``job`` on each side, one after the other, then let them take turns.

        Raises RuntimeError if one of them fails."""
        for name, process in self.processes.items():
            if process.process.poll() is not None:
                process.close()
                self.processes[name] = SideProcess(name)
        ways = {name: process.ask("prepare", job=asdict(job), trial=effort.turn)["way"]
                for name, process in self.processes.items()}
        timings = timing.interleave({name: self._turn(process, effort.turn)
                                     for name, process in self.processes.items()}, effort)
        for process in self.processes.values():
            process.ask("release")
        return {name: replace(found, way=ways[name]) for name, found in timings.items()}

    @staticmethod
    def _turn(process: SideProcess, seconds: float) -> Callable[[], timing.Sample]:
        return lambda: timing.Sample(**process.ask("turn", seconds=seconds))
