"""Runs of memory: slices for the innermost loops.

A slice in Numba counts as one more reference to its array.  Threads that slice one array would all write to its one
count, which then travels from core to core: two hundred cycles a slice.  A run holds no reference; the caller's array
outlives it.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from .jit import inline
from .layout import LINE_BYTES
from .vectors import Code


def _run(array):
    """(type, code) of a one-dimensional view of ``size`` elements from ``at`` on, counted from the first in memory."""
    view_type = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, values):
        source = make_array(array)(context, builder, values[0])
        item = context.get_abi_sizeof(context.get_data_type(array.dtype))
        view = make_array(view_type)(context, builder)
        populate_array(view, data=builder.gep(source.data, [values[1]]), shape=cgutils.pack_array(builder, [values[2]]),
                       strides=cgutils.pack_array(builder, [context.get_constant(types.intp, item)]),
                       itemsize=context.get_constant(types.intp, item), meminfo=None)
        return view._getvalue()

    return view_type(array, types.intp, types.intp), generate


@intrinsic
def run(typing_context, array, at, size):
    """``size`` elements of a dense array from element ``at`` in memory order on, as a one-dimensional view."""
    # None is a typing error: the elements do not lie as the caller believes.
    return _run(array) if array.layout == "C" else None


@intrinsic
def run_within(typing_context, array, at, size):
    """The same of a part of a dense array, whose caller counts in elements of the whole."""
    return _run(array)


@intrinsic
def where(typing_context, array, at):
    """The address of element ``at``, in memory order, of a dense array: what a tile takes."""
    if array.layout != "C":
        return None

    def generate(context, builder, signature, values):
        source = make_array(array)(context, builder, values[0])
        return builder.ptrtoint(builder.gep(source.data, [values[1]]), context.get_value_type(types.int64))

    return types.int64(array, types.intp), generate


@intrinsic
def _expect(typing_context, address):
    def generate(context, builder, signature, values):
        code = Code(builder, 1, 1)
        code.expect(code.numbers(values[0]), cache=2)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inline
def expect(array, at, size):
    """Have ``size`` elements of a dense array, from element ``at`` on, fetched to the second cache: a processor does so
    by itself, but only within the page of memory that it reads.  Nothing happens where the array has ended."""
    for i in range(at, at + size, LINE_BYTES // array.itemsize):
        _expect(where(array, i))


@inline
def copy(target, source):
    for i in range(target.size):
        target[i] = source[i]


@inline
def copy_where(target, source, condition):
    """What a ReLU lets through backwards: the source where the condition is positive."""
    zero = target.dtype.type(0)  # 0 itself is an integer, and with float32 makes double precision
    for i in range(target.size):
        target[i] = source[i] if condition[i] > zero else zero


@inline
def copy_masked(target, source, y, at):
    """As much of a dense array, from element ``at`` on, as fills the target: 0 where y, unless it is None an array that
    lies like the source, is not positive."""
    if y is None:
        copy(target, run(source, at, target.size))
    else:
        copy_where(target, run(source, at, target.size), run(y, at, target.size))


@inline
def add_where(target, source, condition):
    zero = target.dtype.type(0)
    for i in range(target.size):
        target[i] += source[i] if condition[i] > zero else zero


@inline
def clear(target):
    for i in range(target.size):
        target[i] = 0


@inline
def add(target, source):
    for i in range(target.size):
        target[i] += source[i]


@inline
def sum_up(target, part, fresh):
    """The next part of a sum, or with ``fresh`` the first."""
    if fresh:
        copy(target, part)
    else:
        add(target, part)
