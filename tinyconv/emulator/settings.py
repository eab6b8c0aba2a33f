"""What the emulation is told from outside: environment variables, and :func:`checking` for tests.

=============================== ==========================================================================
``TINYCONV_EMULATOR``           ``fast`` (default) or ``check``: whether launches are checked as they run
``TINYCONV_EMULATOR_ORDER``     in which order threads run: ``forward`` (default), ``reverse``, ``shuffled``, or
                                ``each``: all three, with an error if a single byte of the results differs
``TINYCONV_EMULATOR_STREAMS``   ``lazy`` (default): a stream runs when something waits for it; ``eager``: at once
``TINYCONV_EMULATED_DEVICES``   how many devices there seem to be (2)
``TINYCONV_EMULATED_ARCH``      the compute capability that they seem to have (80, as an A100)
=============================== ==========================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

from . import limits

MODES = ("fast", "check")
SINGLE_ORDERS = ("forward", "reverse", "shuffled")
ORDERS = (*SINGLE_ORDERS, "each")
STREAMS = ("lazy", "eager")


@dataclass(frozen=True)
class Settings:
    """One choice of everything; :func:`current` says which holds now."""

    mode: str = "fast"
    order: str = "forward"
    streams: str = "lazy"
    arch: int = 80

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, MODES)
        _one_of("order", self.order, ORDERS)
        _one_of("streams", self.streams, STREAMS)
        _one_of("arch", self.arch, tuple(limits.ARCHITECTURES))

    @property
    def check(self) -> bool:
        return self.mode == "check"


_chosen: list[Settings] = []  # by the innermost `checking`; a list, so that it is a stack


def current() -> Settings:
    """The settings that hold for a launch made now."""
    return _chosen[-1] if _chosen else _from_environment()


@contextmanager
def checking(mode: str = "check", **changes: object) -> Iterator[None]:
    """Within this context, launches run in check mode; ``order``, ``streams`` and ``arch`` may be chosen, too.

    >>> with checking(order="each"):
    ...     current().mode, current().order
    ('check', 'each')
    """
    _chosen.append(replace(current(), mode=mode, **changes))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _chosen.pop()


def device_count() -> int:
    """``TINYCONV_EMULATED_DEVICES``."""
    return _whole_number("TINYCONV_EMULATED_DEVICES", 2)


def _from_environment() -> Settings:
    read = os.environ.get
    return _settings(read("TINYCONV_EMULATOR", "fast"), read("TINYCONV_EMULATOR_ORDER", "forward"),
                     read("TINYCONV_EMULATOR_STREAMS", "lazy"), _whole_number("TINYCONV_EMULATED_ARCH", 80))


_settings = cache(Settings)  # they are asked for at every launch


def _whole_number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} is {text!r}; it must be a whole number, 1 or more")
    return int(text)


def _one_of(what: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"emulator: {what} is {value!r}; it must be one of {', '.join(map(str, allowed))}")
