"""What kernels find once for each shape, forgotten: for tests that change what it is found from."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def fresh_plans(*modules: ModuleType) -> Iterator[None]:
    """Nothing from before is found inside, nor what is found inside behind it."""
    _forget(modules)
    try:
        yield
    finally:
        _forget(modules)


def _forget(modules: tuple[ModuleType, ...]) -> None:
    for module in modules:
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
