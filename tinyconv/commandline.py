"""What the commands share: an error is one clear line."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Argparse's parser, but a wrong argument gets one line, and not a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists all options\n")


def exit_status(work: Callable[[], object], *errors: type[Exception], interrupted: str = "nothing was written",
                memory: str = "use a smaller --batch") -> int:
    """Do the work, and return the exit status of the command: 0; after Ctrl-C 130; 1 if something is wrong, which is
    one clear line.

    errors       what has a message for the user, besides ValueError and OSError
    interrupted  what Ctrl-C leaves behind
    memory       what to do when the memory is too small
    """
    expected: tuple[type[Exception], ...] = (ValueError, OSError, *errors)
    try:
        work()
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        return 130
    except MemoryError:
        print(f"error: not enough memory; {memory}", file=sys.stderr)
        return 1
    except expected as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """For ``type=``: a whole number of at least ``least``, and at most ``most``, if that is given."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least or most is not None and int(text) > most:
            limits = f"at least {least}" + (f" and at most {most}" if most is not None else "")
            raise argparse.ArgumentTypeError(f"must be a whole number of {limits}, not {text!r}")
        return int(text)

    return parse


def number(*, least: float = -math.inf, above: float = -math.inf, most: float = math.inf,
           below: float = math.inf) -> Callable[[str], float]:
    """For ``type=``: a finite number within these limits."""

    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and least <= value <= most and above < value < below):
            limits = [f"at least {least:g}"] * (least > -math.inf) + [f"greater than {above:g}"] * (above > -math.inf)
            limits += [f"at most {most:g}"] * (most < math.inf) + [f"less than {below:g}"] * (below < math.inf)
            raise argparse.ArgumentTypeError(f"must be {' and '.join(limits)}, not {text}")
        return value

    parse.__name__ = "float"  # for argparse's message
    return parse
