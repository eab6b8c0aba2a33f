"""What each PTX instruction means, as C++: one function per family, found through the table HANDLERS.

A handler takes the modifiers that it knows (``mul.wide.s32``: "wide", then the type) and returns a C++ statement.
Whatever it leaves is an error, so nothing is silently ignored.  Only what cannot change a result is taken and dropped:
hints to caches, promises that threads do the same (.uni, .aligned).

``numbers.py``: arithmetic, choices, conversions.  ``memory.py``: loads, stores, atomics, copies.  ``control.py``:
jumps, and all in which threads meet.
"""

from __future__ import annotations

from . import control, memory, numbers  # noqa: F401  (they fill the table)
from .table import HANDLERS as HANDLERS
