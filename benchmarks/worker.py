"""A side in a process of its own: takes requests as lines of JSON on stdin, answers each with one on stdout.

    {"do": "prepare", "job": {...}, "trial": 0.05}   makes the data, warms up, finds the quickest way: {"way": ...}
    {"do": "turn", "seconds": 0.05}                  one sample: {"seconds": ..., "turn": ..., "foreign": ...}
    {"do": "release"}                                lets the job's memory go
    {"do": "threads"}                                what machine.use_all_cores found

Between requests it sleeps in ``readline``: only one side at a time uses the processors.  An exception is answered with
{"error": ...}, and the process goes on.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from . import jobs, machine, timing


class Worker:
    """What one side holds between requests: the job that it is at."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.threads = machine.use_all_cores(with_torch=side != jobs.TINYCONV)
        self.run: Callable[[], object] = _nothing
        self.usual = 0.0

    def prepare(self, job: dict[str, Any], trial: float) -> dict[str, Any]:
        """Warm up each way of doing ``job``, and keep the one whose best call is the quickest."""
        self.run = _nothing  # lets the last job's memory go first
        best, self.usual = "", float("inf")
        for way, make in jobs.ways(jobs.Job(**job), self.side).items():
            gc.collect()  # a network refers to itself
            run = make()
            run()
            usual = timing.quickest(run, trial)
            if usual < self.usual:
                best, self.usual, self.run = way, usual, run
        return {"way": best}

    def turn(self, seconds: float) -> dict[str, Any]:
        return asdict(timing.take_turn(self.run, seconds, self.usual, foreign=foreign_seconds))

    def release(self) -> dict[str, Any]:
        self.run = _nothing
        gc.collect()
        return {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        do = request.pop("do")
        if do == "threads":
            return self.threads
        actions: dict[str, Callable[..., dict[str, Any]]] = {"prepare": self.prepare, "turn": self.turn,
                                                             "release": self.release}
        return actions[do](**request)


def foreign_seconds() -> float:
    """Processor seconds that anyone but this process has used since the start; 0 where the system does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    own = resource.getrusage(resource.RUSAGE_SELF)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - own.ru_utime - own.ru_stime


def _nothing() -> None:
    """In place of a job."""


def serve(side: str) -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not look like an answer
    worker = Worker(side)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception:
            answer = {"error": traceback.format_exc()}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
