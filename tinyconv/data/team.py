"""The processes that decode for a loader: started once, asked for pieces of batches, watched, and never left behind.

    consumer  -- pieces -->  one queue (a socket that keeps messages apart)  -->  whichever worker is free
    consumer  <-- answers --  a line from each worker, whose end is the news that the worker has died
    consumer  <-- pixels --  anonymous shared memory, see `shared.py`

A worker is a new interpreter, not a fork: a fork would inherit locks and OpenMP's threads in whatever state they are.
The user's script is imported there only if it defines the split or the transform; else it needs no
`if __name__ == "__main__"`. There is no lock that a worker could die with.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, deque
from contextlib import suppress
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection, wait

import numpy as np

from . import team_worker
from .cutter import Cutter
from .errors import SampleError
from .shared import SharedImages
from .team_worker import LONGEST, Answer, Piece, Setup
from .transforms import AnyDraws

_MOST = 64  # images in a piece
_SHARES = 4  # pieces of a batch for each worker: the batch is complete soon after the slowest of them
_PATIENCE = 0.2  # seconds between two looks whether the consumer still wants the batch
_SILENCE = 60.0  # seconds without an answer until that is told
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(SampleError):
    """A worker process has died, or could not start; the message names it."""


class Stopped(Exception):
    """Nobody wants the images any more."""


class Team:
    """Worker processes that fill `memory` with what `cutter` makes.

    Used by one thread at a time, which holds `turn`, but `stop` by any. Raises ValueError: the cutter's split or
    transform cannot be sent to another process.
    """

    def __init__(self, cutter: Cutter, memory: SharedImages, workers: int):
        if team_worker.inside:
            raise RuntimeError("a worker process wants workers of its own; it came to this because the script defines "
                               'the split or the transform: begin its main part with if __name__ == "__main__":')
        try:
            setup = _setup(pickle.dumps((cutter, memory.array.shape)))
        except Exception as error:  # TypeError, AttributeError, PicklingError ...
            raise ValueError(f"workers is {workers}, but the split or the transform cannot be sent to another process "
                             f"({error}); define its class in a module, or pass workers=0") from error
        self.owner = os.getpid()
        self._memory = memory  # as long as the workers
        self._queue, self._inbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._queue.setblocking(False)
        self._inbox.setblocking(False)
        self._crew: dict[Connection, subprocess.Popen[bytes]] = {}
        # Also when the loader is forgotten, and at exit.
        self.close = weakref.finalize(self, _end, self._crew, (self._queue, self._inbox), self.owner)
        self._backlog: deque[bytes] = deque()  # what the queue has no room for
        self._missing: Counter[int] = Counter()  # ticket -> pieces to come
        self._problems: dict[int, str] = {}
        self._stopped = threading.Event()
        self.turn = threading.Lock()
        self._tickets = 0
        try:
            for _ in range(workers):
                line, process = _start(self._inbox, memory.fd)
                self._crew[line] = process
            for line in self._crew:
                self._greet(line, setup)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The workers' process numbers."""
        return [process.pid for process in self._crew.values()]

    @property
    def usable(self) -> bool:
        """Whether it can be asked: not closed, and not inherited by a fork."""
        return self.close.alive and self.owner == os.getpid()

    def ask(self, places: np.ndarray, indices: np.ndarray, draws: AnyDraws | None) -> int:
        """Have the images made: image indices[i], with the choices in row indices[i] of the draws, at places[i].

        Returns a ticket to wait for."""
        self._tickets += 1
        count = min(_MOST, math.ceil(len(indices) / (_SHARES * len(self._crew))))
        for start in range(0, len(indices), count):
            some = indices[start : start + count]
            piece = Piece(self._tickets, places[start : start + count], some, draws and draws.take(some))
            message = pickle.dumps(tuple(piece), pickle.HIGHEST_PROTOCOL)
            if len(message) > LONGEST:
                raise ValueError(f"the transform's draws for {len(some)} images need more than {LONGEST:,} bytes")
            self._backlog.append(message)
            self._missing[self._tickets] += 1
        self._send()
        return self._tickets

    def wait(self, ticket: int) -> None:
        """Return when all images of the ticket are made.

        A worker that is alive and silent may read from a disk that hangs: only a warning tells of it, for it may go on.

        Raises SampleError: one could not be. WorkerError: a worker has died. Stopped: after `stop`."""
        heard = time.monotonic()
        while self._missing[ticket]:
            if self._stopped.is_set():
                raise Stopped
            if self._hear(_PATIENCE):
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE:
                # The time makes it a new text: of a warning with the same text only the first is shown.
                warnings.warn(f"{time.strftime('%H:%M:%S')}: the loader's workers (processes "
                              f"{', '.join(map(str, self.pids))}) are alive, but none has answered for {_SILENCE:g} s: "
                              "does a disk hang, or were they stopped?", RuntimeWarning, stacklevel=2)
                heard = math.inf  # once for each silence
        del self._missing[ticket]
        if ticket in self._problems:
            raise SampleError(self._problems.pop(ticket))

    def stop(self) -> None:
        """Let whoever is in `wait` return soon."""
        self._stopped.set()

    def drop(self) -> None:
        """Forget what was asked and is not made yet, so that others can ask. Raises WorkerError: a worker has died."""
        with suppress(BlockingIOError):
            while True:  # take back what no worker has begun
                self._backlog.append(self._inbox.recv(LONGEST))
        while self._backlog:
            self._missing[pickle.loads(self._backlog.popleft())[0]] -= 1
        while any(count > 0 for count in self._missing.values()):
            self._hear(None)
        self._hear(0)  # the end of a worker that died while it had nothing to do
        self._missing.clear()
        self._problems.clear()
        self._stopped.clear()

    def _send(self) -> None:
        with suppress(BlockingIOError):  # full: goes on when something is done
            while self._backlog:
                self._queue.send(self._backlog[0])
                self._backlog.popleft()

    def _hear(self, seconds: float | None) -> bool:
        """Take what answers there are, or wait so long for one; returns whether there was any."""
        lines = wait(list(self._crew), seconds)
        for line in lines:
            assert isinstance(line, Connection)
            try:
                answer = Answer(*line.recv())
            except (EOFError, OSError):
                raise self._death(line) from None
            self._missing[answer.ticket] -= 1
            if answer.problem:
                self._problems.setdefault(answer.ticket, answer.problem)
        self._send()
        return bool(lines)

    def _greet(self, line: Connection, setup: Setup) -> None:
        try:
            line.send(tuple(setup))
            problem = line.recv()
        except (EOFError, OSError):
            raise self._death(line) from None
        if problem:
            raise WorkerError(f"loader worker {self._name(line)} could not start: {problem}; the split and the "
                              "transform must be importable there, or pass workers=0")

    def _name(self, line: Connection) -> str:
        return f"{list(self._crew).index(line) + 1} of {len(self._crew)} (process {self._crew[line].pid})"

    def _death(self, line: Connection) -> WorkerError:
        name, process = self._name(line), self._crew[line]
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        if code is None:
            how = "no longer answers"
        elif code == -signal.SIGKILL:
            how = "was killed (SIGKILL); if the machine ran out of memory, use fewer --workers or a smaller --batch"
        elif code < 0:
            how = f"died of {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code}; its message is above"
        return WorkerError(f"loader worker {name} {how}. The other workers were stopped")


def _setup(work: bytes) -> Setup:
    if b"__main__" not in work:
        return Setup(work, None)
    known = spawn.get_preparation_data("loader worker")
    return Setup(work, {name: value for name, value in known.items() if name.startswith("init_main_from")})


def _start(inbox: socket.socket, memory: int) -> tuple[Connection, subprocess.Popen[bytes]]:
    ours, theirs = Pipe()
    with theirs:
        descriptors = (theirs.fileno(), inbox.fileno(), memory)
        path = [str(entry) or os.getcwd() for entry in sys.path]
        program = (f"import sys; sys.path[:] = {path!r}; from tinyconv.data.team_worker import main; "
                   f"main(*{descriptors}, {os.getpid()})")
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.DEVNULL, pass_fds=descriptors,
            env=os.environ | dict.fromkeys(_ONE_THREAD, "1"),
            start_new_session=True)  # a terminal's Ctrl-C does not reach it, not even before it can ignore that
    return ours, process


def _end(crew: dict[Connection, subprocess.Popen[bytes]], sockets: tuple[socket.socket, ...], owner: int) -> None:
    """They hold nothing that could be lost: killing them is the quickest way, and sure."""
    for line in crew:
        line.close()
    for end in sockets:
        end.close()
    if os.getpid() != owner:
        return  # a fork: the workers are the other process's
    for process in crew.values():
        process.kill()
    for process in crew.values():
        process.wait()
