"""Where Winograd is quicker than the direct convolution.  Written by ``python -m benchmarks.choose``.

(instruction set, pass, filter size) -> (channels and filters of a group, tiles of the batch): from these sizes on.
"""

WINOGRAD = {
    ("avx512", "forward", 3): (64, 64),
    ("avx512", "forward", 5): (32, 64),
    ("avx512", "input gradient", 3): (64, 64),
    ("avx512", "input gradient", 5): (32, 64),
    ("avx512", "weight gradient", 3): (64, 256),
    ("avx512", "weight gradient", 5): (32, 256),
}
