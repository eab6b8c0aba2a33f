"""The table of handlers, and how one enters it."""

from __future__ import annotations

from collections.abc import Callable

from ..operation import Operation

Handler = Callable[[Operation], str]
HANDLERS: dict[str, Handler] = {}


def opcode(*names: str) -> Callable[[Handler], Handler]:
    """Make the function that follows the handler of the instructions called ``names``."""
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler
    return register


def as_unsigned(type_: str) -> str:
    return f"u{type_[1:]}"
