"""CUDA kernels on a CPU: PTX, as the compiler emits it, becomes C++ that runs with every access checked."""
