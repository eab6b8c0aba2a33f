"""How this package compiles its CPU kernels.

One decorator for all of them, so that each is compiled at its first call only (importing costs nothing), kept on disk
(the second process loads it in milliseconds), releases Python's global lock, and runs its ``prange`` loops on all
cores.

Numba's OpenMP threads spin after each parallel loop in case another follows.  NumPy's matrix products bring threads of
their own, which then find the cores taken (ten times slower); waiting passively hands the cores over.  The runtime
reads ``OMP_WAIT_POLICY`` once, when it is loaded, so ``import tinyconv`` sets it: import tinyconv before PyTorch.

``error_model="numpy"``: x / 0 is inf, as in NumPy.  Python's way, an exception, would put a branch into every division
and keep the compiler from using vector instructions.
"""

import numba

jit = numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
inline = numba.njit(cache=True, nogil=True, error_model="numpy")  # for the helpers that those loops call
# For sums in long loops: the compiler may keep several partial sums side by side, in vectors.  How many depends on the
# machine, never on the number of threads.
summing = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})
prange = numba.prange


def c_function(signature):
    """A decorator that compiles a function for calls by its ``address``, and keeps it on disk like the others."""
    return numba.cfunc(signature, cache=True, nopython=True, error_model="numpy")
