"""Walking several arrays at once, whatever their strides: how a CUDA kernel is told of a view.

An axis is a size, and for each array a step: the elements from one index to the next (negative in a reversed view, 0
where the array is repeated).  Axes that no walk can tell from one are joined, so that dense arrays of any shape become
one axis, and nearly every view at most four:

    a slice x[:, 2:5] of shape (8, 3, 13, 13), copied to dense memory      sizes (8, 507)   steps (1690, 1) and (507, 1)
"""

import numpy as np


def steps_of(x, shape):
    """The steps of ``x`` along the axes of ``shape``, which it is broadcast to."""
    own = (0 if n == 1 else stride // x.itemsize for n, stride in zip(x.shape, x.strides, strict=True))
    return (0,) * (len(shape) - x.ndim) + tuple(own)


def join(shape, *steps):
    """The same walk, in the same order, with as few axes as possible: (shape, steps of each array).

    Axes of size 1 go.  Two neighbours become one if a step along the outer one is, for every array, as far as all steps
    along the inner one."""
    axes = []
    for size, *step in zip(shape, *steps, strict=True):
        if size == 1:
            continue
        if axes and all(outer == inner * size for outer, inner in zip(axes[-1][1], step, strict=True)):
            axes[-1] = axes[-1][0] * size, step
        else:
            axes.append((size, step))
    return tuple(size for size, _ in axes), *(tuple(step[i] for _, step in axes) for i in range(len(steps)))


def padded(axes, count, filler):
    """``axes`` as ``count`` np.int64, with ``filler`` for the outer axes that are not there."""
    if len(axes) > count:
        raise ValueError(f"a walk over {len(axes)} axes that cannot be joined, where a kernel takes {count}; "
                         "take fewer axes at a time, or make the array contiguous")
    return tuple(np.int64(a) for a in (filler,) * (count - len(axes)) + tuple(axes))


def address(x, elements=0):
    """Where a device array begins, or what lies so many elements on: for kernels that take its steps, too."""
    return np.uint64(x.data.ptr + elements * x.itemsize)
