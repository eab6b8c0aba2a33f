"""What the commands share: an error is one clear line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Argparse's parser, but a wrong argument gets one line, and not a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists all options\n")
