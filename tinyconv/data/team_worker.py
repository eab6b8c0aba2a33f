"""A worker process of the loader: decodes and cuts images into shared memory, until nobody needs it any more.

`team.Team` starts it. It takes a piece of a batch from the queue that all workers share, writes the images to their
places, and says so. When the consumer's process ends, however that ends, the queue and the line to it end, too, and so
does the worker: while it waits, at once; at work, after the piece.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from multiprocessing import spawn
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from .cutter import Cutter
from .errors import SampleError
from .shared import SharedImages
from .transforms import AnyDraws

LONGEST = 1 << 17  # bytes of a message in the queue
inside = False  # this process is a worker
_LOOK_UP = 2.0  # seconds: a process forked from the consumer's may keep the queue open after that has ended


class Setup(NamedTuple):
    """The first message to a worker."""

    work: bytes  # pickled (Cutter, shape of the shared images)
    script: dict[str, Any] | None  # how to import the user's script, where something in `work` is defined in it


class Piece(NamedTuple):
    """Images to make: `indices[i]`, with row i of the draws, goes to `places[i]` of the shared memory."""

    ticket: int
    places: np.ndarray
    indices: np.ndarray
    draws: AnyDraws | None


class Answer(NamedTuple):
    """A piece of that ticket is made, or could not be: what was wrong."""

    ticket: int
    problem: str | None


def main(line: int, queue: int, memory: int, parent: int) -> None:
    """Work with these file descriptors for the process `parent`."""
    global inside
    inside = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the consumer, who decides
    answers = Connection(line)
    try:
        try:
            setup = Setup(*answers.recv())
            if setup.script:
                spawn.prepare(setup.script)
            cutter, shape = pickle.loads(setup.work)
        except EOFError:
            raise
        except Exception as error:  # whatever unpickling runs
            answers.send(f"{type(error).__name__}: {error}")
            return
        images = SharedImages(shape, memory)
        answers.send(None)
        with socket.socket(fileno=queue) as pieces:
            _work(cutter, images.array, pieces, answers, parent)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the consumer has gone


def _work(cutter: Cutter, images: np.ndarray, pieces: socket.socket, answers: Connection, parent: int) -> None:
    pieces.settimeout(_LOOK_UP)
    while True:
        try:
            message = pieces.recv(LONGEST)
        except TimeoutError:
            if os.getppid() != parent:
                return
            continue
        if not message:
            return
        piece = Piece(*pickle.loads(message))
        answers.send(tuple(Answer(piece.ticket, _make(cutter, images, piece))))


def _make(cutter: Cutter, images: np.ndarray, piece: Piece) -> str | None:
    try:
        for row, (place, index) in enumerate(zip(piece.places.tolist(), piece.indices.tolist(), strict=True)):
            cutter(index, images[place], piece.draws, row)
    except SampleError as error:
        return str(error)
    return None
