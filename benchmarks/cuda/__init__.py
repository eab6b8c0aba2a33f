"""The static report of the CUDA kernels: what the compiler made of them, for six architectures, without a GPU.

Read in this order: ``launches`` asks every ``cuda.py`` what it launches; ``compiler`` builds it as CuPy would;
``cubin`` and ``sass`` read the machine code; ``loops`` finds the hot loop; ``occupancy`` and ``ceiling`` say what the
hardware can make of it; ``report`` and ``budget`` print it and hold it to what it was.
"""
