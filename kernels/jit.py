"""How this package compiles its CPU kernels.

One decorator for all of them, so that each is compiled at its first call only (importing costs nothing), kept on disk
(the second process loads it in milliseconds), releases Python's global lock, and runs its ``prange`` loops on all
cores.  What is on disk counts as fresh as long as no file of the CPU's kernels has changed: ``jit_cache.py`` says why.

Between two parallel loops OpenMP's threads spin, in case another follows, and then sleep.  To wake one costs 70 us,
as much as a small layer takes; but while they spin nobody else has their cores, and NumPy's matrix products bring
threads of their own.  GNU's runtime spins for some 15 ms unless told otherwise.  A millisecond bridges the Python
between two kernels, even where a kernel has pushed all that Python needs out of the caches.  The runtime reads
``GOMP_SPINCOUNT`` once, when it is loaded, so ``import tinyconv`` sets it: import tinyconv before PyTorch.

``error_model="numpy"``: x / 0 is inf, as in NumPy.  Python's way, an exception, would put a branch into every division
and keep the compiler from using vector instructions.

A function that is made several times over, with other constants or other functions inside, gets a name of its own each
time.  For Numba names machine code by the function's name, its argument types, and a number that it counts up in each
process: of code that another process left on disk and code compiled here, two functions of one name may have one
number, and then the linker takes the wrong one.
"""

import hashlib
from functools import cached_property, partial

import numba

from . import jit_cache

ERRORS = "numpy"


def _distinct(function):
    """The function, its name completed by what it encloses: that of a compiled function, or the value."""
    cells = [getattr(cell.cell_contents, "py_func", cell.cell_contents) for cell in function.__closure__ or ()]
    if cells:
        inside = ", ".join(f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
                           for value in cells)
        function.__qualname__ += f"_{hashlib.sha256(inside.encode()).hexdigest()[:12]}"
    return function


def _compiled(function, **options):
    dispatcher = numba.njit(nogil=True, error_model=ERRORS, **options)(_distinct(function))
    if not jit_cache.keep(dispatcher, function):
        dispatcher.enable_caching()
    return dispatcher


jit = partial(_compiled, parallel=True)
inline = _compiled  # for the helpers that those loops call
# For sums in long loops: the compiler may keep several partial sums side by side, in vectors.  How many depends on the
# machine, never on the number of threads.
summing = partial(_compiled, fastmath={"reassoc"})
prange = numba.prange


class c_function:  # noqa: N801 (a decorator)
    """Decorator: compile for callers who know an address and nothing else, on disk like the rest.

    ``signature`` is Numba's, ``"void(intp, float32)"`` or types.  Compiled (or loaded) when :attr:`address` is first
    asked for.  Pass that as an integer to the kernel that calls it: a constant baked into compiled code would be wrong
    in the next process, so Numba would not cache it."""

    def __init__(self, signature):
        self.signature = signature

    def __call__(self, function):
        self.py_func = self.__wrapped__ = _distinct(function)
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        return self

    @cached_property
    def compiled(self):
        """Numba's object: ``address``, ``ctypes``, ``cache_hits``."""
        plain = partial(numba.cfunc, self.signature, error_model=ERRORS)
        try:
            from numba.core.ccallback import CFunc
            from numba.core.sigutils import normalize_signature

            unfinished = CFunc(self.py_func, normalize_signature(self.signature), locals={},
                               options={"nopython": True, "error_model": ERRORS})
        except (ImportError, TypeError):
            return plain(cache=True)(self.py_func)
        if not jit_cache.keep(unfinished, self.py_func):
            unfinished.enable_caching()
        unfinished.compile()
        return unfinished

    @property
    def address(self) -> int:
        """Where the machine code starts."""
        return self.compiled.address
