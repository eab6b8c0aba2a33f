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

    def __enter__(self) -> None:
        self.before, _mode.grad = _mode.grad, False

    def __exit__(self, *exc: object) -> None:
        _mode.grad = self.before

    def __call__(self, function: Any) -> Any:
        @wraps(function)
        def without_grad(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return without_grad


def is_grad_enabled() -> bool:
    return _mode.grad
