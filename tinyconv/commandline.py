"""What the commands share: an error is one clear line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Argparse's parser, but a wrong argument gets one line, and not a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists all options\n")


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
