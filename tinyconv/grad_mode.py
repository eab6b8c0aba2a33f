"""Whether Functions record a graph: a switch of each thread, on unless a ``no_grad`` block turned it off."""

from __future__ import annotations

import threading
from functools import wraps
from typing import Any


class _Mode(threading.local):
    grad = True


_mode = _Mode()


class no_grad:
    """``with no_grad():`` records no graph: nothing is kept for a backward pass.  Also a decorator."""

    _wanted = False

    def __init__(self) -> None:
        self._before: list[bool] = []  # a stack: one object may be entered again inside itself

    def __enter__(self) -> None:
        self._before.append(_mode.grad)
        _mode.grad = self._wanted

    def __exit__(self, *exc: object) -> None:
        _mode.grad = self._before[-1]  # in this order: Ctrl-C may come between the two
        self._before.pop()

    def __call__(self, function: Any) -> Any:
        @wraps(function)
        def in_this_mode(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return in_this_mode


class enable_grad(no_grad):
    """``with enable_grad():`` records graphs again, inside a ``no_grad`` block."""

    _wanted = True


def is_grad_enabled() -> bool:
    return _mode.grad
