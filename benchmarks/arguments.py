"""What command-line arguments of the benchmarks are made into."""

from __future__ import annotations

import argparse
import re

from tinyconv.commandline import whole_number

positive = whole_number(1)


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
