"""Where in the user's program something was asked for: the line outside of this package that led to it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType
from typing import NamedTuple

_PACKAGE = str(Path(__file__).parent) + "/"


class Origin(NamedTuple):
    """A line.  Cheap to make at each launch; the text is only made when it is told."""

    code: CodeType
    line: int

    def __str__(self) -> str:
        return f"{Path(self.code.co_filename).name}:{self.line} in {self.code.co_name}"


def origin() -> Origin | None:
    """The innermost line that is running outside of this package; None if there is none (a thread of our own)."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Origin(frame.f_code, frame.f_lineno)
