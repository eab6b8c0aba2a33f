"""Where Winograd is quicker than the direct convolution.  Written by ``python -m benchmarks.choose``.

(instruction set, pass, filter size, groups, 2 for more) -> (channels and filters of a group, tiles of the batch): from
these sizes on.
"""

WINOGRAD = {
    ("avx512", "forward", 3, 1): (32, 64),
    ("avx512", "forward", 3, 2): (32, 64),
    ("avx512", "forward", 5, 1): (48, 128),
    ("avx512", "forward", 5, 2): (48, 128),
    ("avx512", "inference", 3, 1): (32, 16),
    ("avx512", "inference", 3, 2): (32, 16),
    ("avx512", "inference", 5, 1): (32, 16),
    ("avx512", "inference", 5, 2): (32, 16),
    ("avx512", "input gradient", 3, 1): (32, 64),
    ("avx512", "input gradient", 3, 2): (32, 64),
    ("avx512", "input gradient", 5, 1): (48, 128),
    ("avx512", "input gradient", 5, 2): (48, 64),
    ("avx512", "weight gradient", 3, 1): (48, 128),
    ("avx512", "weight gradient", 3, 2): (48, 128),
    ("avx512", "weight gradient", 5, 1): (64, 256),
    ("avx512", "weight gradient", 5, 2): (48, 256),
}
