"""``steps.jsonl``: a JSON line every few steps, appended as it happens.

A run that is killed has logged steps that its last checkpoint does not know, and will do them again.  So whoever goes
on from a checkpoint first drops the lines after it: then every step is logged once, and none is missing, since the
lines before a checkpoint are on the disk before the checkpoint is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..safefile import temporary_beside


class StepLog:
    """Use as ``with StepLog(path, steps) as log``.

    path: the file; made if it does not exist.
    steps: how many steps the run has done; lines of later steps are dropped, and so are those that are damaged or come
        twice.

    Raises OSError that names the file."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path = path
        if path.exists():
            self._trim(steps)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def __enter__(self) -> StepLog:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def append(self, line: dict[str, Any]) -> None:
        """In one write, so that a kill leaves the line or nothing of it."""
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        try:
            if os.write(self._file, data) < len(data):
                raise OSError("the disk is full")
        except OSError as error:
            raise OSError(error.errno, f"cannot write {self.path}: {error.strerror or error}; the last checkpoint is "
                                       "intact; free some space and go on with --resume") from error

    def sync(self) -> None:
        """Return when all lines are on the disk."""
        os.fsync(self._file)

    def _trim(self, steps: int) -> None:
        wanted = whole_lines(self.path, steps)
        with temporary_beside(self.path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in wanted)


def whole_lines(path: Path, steps: float = float("inf")) -> Iterator[dict[str, Any]]:
    """The lines of the file that are whole, in order, each step once, up to that of step number ``steps``."""
    last = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
                step = line["step"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(step, int) and last < step <= steps:
                last = step
                yield line
