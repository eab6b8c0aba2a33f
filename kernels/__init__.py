"""The kernels: where numbers are crunched.  A layer is a folder; no autograd here.

Each folder holds its lesson (``README.md``), its definition (``reference.py``, plain NumPy written from the formula)
and a fast kernel per kind of device (``cpu.py``, ``cuda.py``).  All of them export the same functions with the same
signatures, but for ``scratch``; a kernel fills the arrays that it is given and allocates nothing.  Start with
``kernels/README.md``.
"""
