"""Do the tests of the CUDA kernels see a mistake?  ``python -m tests.mutation`` makes hundreds, one token each.

A *mutant* is a kernel with one token changed: ``<`` for ``<=``, ``+`` for ``-``, a missing ``__syncthreads()``.  Each
is put in the place of the real file, and the tests of its layer run, emulated in check mode.  A mutant is *killed* when
one fails.  One that survives is either equivalent, which has to be shown, or a hole in the tests.

It takes about an hour on two cores, and so is not part of the suite.
"""
