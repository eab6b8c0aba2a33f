"""Ctrl-C that waits for the end of the batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """While inside, the first Ctrl-C or SIGTERM only fills the list, so that the batch can be finished: weights that
    are half updated would be worth nothing.  The second one does what it always did."""
    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        with suppress(OSError):  # past the buffer of sys.stderr, which the signal may have come in the middle of
            os.write(2, b"\nstopping after this batch (once more: at once, without saving) ...\n")
        for other, handler in before.items():
            signal.signal(other, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread, where Python delivers no signals
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
