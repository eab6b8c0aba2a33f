"""What the commands share: an error is one clear line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Argparse's parser, but a wrong argument gets one line, and not a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists all options\n")


def whole_number(least: int) -> Callable[[str], int]:
    """For ``type=``: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return int(text)

    return parse
