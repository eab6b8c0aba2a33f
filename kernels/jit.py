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
from functools import partial

import numba
from numba.core.compiler import Compiler

from . import jit_cache


def _distinct(function):
    """The function, its name completed by what it encloses: that of a compiled function, or the value."""
    cells = [getattr(cell.cell_contents, "py_func", cell.cell_contents) for cell in function.__closure__ or ()]
    if cells:
        inside = ", ".join(f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
                           for value in cells)
        function.__qualname__ += f"_{hashlib.sha256(inside.encode()).hexdigest()[:12]}"
    return function


def _compiled(function, **options):
    dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(_distinct(function))
    if not jit_cache.keep(dispatcher, function):
        dispatcher.enable_caching()
    return dispatcher


class _Apart(Compiler):
    """Numba's, which marks all arguments as overlapping no other."""

    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


jit = partial(_compiled, parallel=True)
# For the helpers that those loops call.  Else a call hands over seven numbers for each array, and with a pixel of a few
# vectors a third of the time may go there.
inline = partial(_compiled, forceinline=True)
# For helpers of which, besides, no argument overlaps one that they write to.  Else the vector code of a loop begins by
# comparing where all arrays begin and end, two by two, which takes as long as a pixel.
apart = partial(inline, pipeline_class=_Apart)
# For sums in long loops: the compiler may keep several partial sums side by side, in vectors.  How many depends on the
# machine, never on the number of threads.
summing = partial(_compiled, fastmath={"reassoc"})
prange = numba.prange
