"""Where Winograd is quicker than the direct convolution.  Written by ``python -m benchmarks.choose``.

(instruction set, pass, filter size, groups, 2 for more) -> one or two of (channels and filters of a group, tiles of the
batch): from these sizes on.
"""

WINOGRAD = {
    ("avx512", "forward", 3, 1): ((32, 1024), (48, 32)),
    ("avx512", "forward", 3, 2): ((32, 32), (512, 16)),
    ("avx512", "forward", 5, 1): ((48, 128), (256, 64)),
    ("avx512", "forward", 5, 2): ((48, 128), (256, 64)),
    ("avx512", "inference", 3, 1): ((16, 8),),
    ("avx512", "inference", 3, 2): ((16, 8),),
    ("avx512", "inference", 5, 1): ((32, 8),),
    ("avx512", "inference", 5, 2): ((32, 8),),
    ("avx512", "input gradient", 3, 1): ((32, 32),),
    ("avx512", "input gradient", 3, 2): ((32, 32),),
    ("avx512", "input gradient", 5, 1): ((48, 64), (512, 32)),
    ("avx512", "input gradient", 5, 2): ((48, 256), (64, 64)),
    ("avx512", "weight gradient", 3, 1): ((48, 32),),
    ("avx512", "weight gradient", 3, 2): ((32, 32),),
    ("avx512", "weight gradient", 5, 1): ((48, 128),),
    ("avx512", "weight gradient", 5, 2): ((32, 1024), (48, 128)),
}
