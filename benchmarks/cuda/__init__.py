"""The static report of the CUDA kernels: what the compiler made of them, for six architectures, without a GPU.

Read in this order: ``launches`` asks every ``cuda.py`` what it launches; ``compiler`` builds it as CuPy would;
``cubin`` and ``sass`` read the machine code, and ``functions`` keeps it; ``loops`` finds the hot loop; ``occupancy``,
``ceiling`` and ``traffic`` say what the hardware can make of it; ``report`` and ``budget`` print it and hold it to what
it was.
"""
