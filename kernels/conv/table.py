"""Where Winograd is quicker than the other two ways.  Written by ``python -m benchmarks.choose``.

(instruction set, pass, filter size, groups, 2 for more) -> one or two of (channels and filters of a group, pixels of
the batch): from these sizes on.
"""

WINOGRAD = {
    ("avx2", "forward", 3, 1): ((32, 256), (128, 64)),
    ("avx2", "forward", 3, 2): ((32, 256), (512, 64)),
    ("avx2", "forward", 5, 1): ((16, 128), (128, 64)),
    ("avx2", "forward", 5, 2): ((16, 256), (128, 64)),
    ("avx2", "inference", 3, 1): ((32, 512), (64, 128)),
    ("avx2", "inference", 3, 2): ((32, 128), (64, 64)),
    ("avx2", "inference", 5, 1): ((16, 64),),
    ("avx2", "inference", 5, 2): ((16, 64),),
    ("avx2", "input gradient", 3, 1): ((20, 128), (128, 64)),
    ("avx2", "input gradient", 3, 2): ((20, 128), (128, 64)),
    ("avx2", "input gradient", 5, 1): ((16, 1024), (20, 64)),
    ("avx2", "input gradient", 5, 2): ((16, 128), (20, 64)),
    ("avx2", "weight gradient", 3, 1): ((16, 1024), (32, 256)),
    ("avx2", "weight gradient", 3, 2): ((16, 256),),
    ("avx2", "weight gradient", 5, 1): ((16, 128),),
    ("avx2", "weight gradient", 5, 2): ((16, 256), (32, 128)),
    ("avx512", "forward", 3, 1): ((32, 512), (128, 128)),
    ("avx512", "forward", 3, 2): ((16, 512), (128, 64)),
    ("avx512", "forward", 5, 1): ((16, 256), (128, 64)),
    ("avx512", "forward", 5, 2): ((16, 256), (128, 64)),
    ("avx512", "inference", 3, 1): ((20, 256), (256, 128)),
    ("avx512", "inference", 3, 2): ((16, 64),),
    ("avx512", "inference", 5, 1): ((16, 128),),
    ("avx512", "inference", 5, 2): ((16, 64),),
    ("avx512", "input gradient", 3, 1): ((20, 128), (128, 64)),
    ("avx512", "input gradient", 3, 2): ((16, 256), (128, 64)),
    ("avx512", "input gradient", 5, 1): ((16, 256), (128, 64)),
    ("avx512", "input gradient", 5, 2): ((16, 128), (128, 64)),
    ("avx512", "weight gradient", 3, 1): ((32, 256),),
    ("avx512", "weight gradient", 3, 2): ((16, 256),),
    ("avx512", "weight gradient", 5, 1): ((16, 256),),
    ("avx512", "weight gradient", 5, 2): ((16, 256),),
}
