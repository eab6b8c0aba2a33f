"""The tiles as plain loops: what they compute, and what serves where no vector instructions are known.

``tile.py`` writes the same functions instruction by instruction; they take the same arguments, for the same call.
"""

from numba import float32, float64, types
from numba.extending import intrinsic


def gather(most, lanes, itemsize):
    def gather(rows, vectors, a, row, tap, low, high, depth, b, step_b, init, init_row, y, y_row, relu):
        a, b, init, y = numbers(a, itemsize), numbers(b, itemsize), numbers(init, itemsize), numbers(y, itemsize)
        row, tap, init_row, y_row = table(row), table(tap), table(init_row), table(y_row)
        for first in range(0, vectors, most):
            width = min(most, vectors - first) * lanes
            for r in range(rows):
                start, before, here = row[r], init_row[r] + first * lanes, y_row[r] + first * lanes
                for c in range(width):
                    y[here + c] = init[before + c]
                for t in range(low, high):
                    for k in range(depth):
                        factor, line = a[start + tap[t] + k], first // most * step_b + (t * depth + k) * width
                        for c in range(width):
                            y[here + c] += factor * b[line + c]
                for c in range(width):
                    y[here + c] = 0 if relu and y[here + c] < 0 else y[here + c]
    return gather


def even(most, lanes, itemsize):
    def even(rows, vectors, a, step_a, depth, b, step_b, init, init_step, y, y_step, relu):
        a, b, init, y = numbers(a, itemsize), numbers(b, itemsize), numbers(init, itemsize), numbers(y, itemsize)
        for first in range(0, vectors, most):
            width = min(most, vectors - first) * lanes
            for r in range(rows):
                before, here = r * init_step + first * lanes, r * y_step + first * lanes
                for c in range(width):
                    y[here + c] = init[before + c]
                for k in range(depth):
                    factor, line = a[r * step_a + k], first // most * step_b + k * width
                    for c in range(width):
                        y[here + c] += factor * b[line + c]
                for c in range(width):
                    y[here + c] = 0 if relu and y[here + c] < 0 else y[here + c]
    return even


def pair(most, lanes, itemsize):
    zero = (float32 if itemsize == 4 else float64)(0)

    def pair(rows, vectors, a, line, step_a, depth, b, step_b, init, y, y_step, below, relu):
        a, b, init, y = numbers(a, itemsize), numbers(b, itemsize), numbers(init, itemsize), numbers(y, itemsize)
        for first in range(0, vectors, most):
            width = min(most, vectors - first) * lanes
            for r in range(rows):
                for c in range(width):
                    m0 = m2 = m3 = zero
                    m1, here = init[first * lanes + c], r * y_step + first * lanes + c
                    for k in range(depth):
                        at, start = first // most * step_b + k * width + c, r * step_a + k
                        m0 += a[start] * b[at]
                        m1 += a[start + line] * b[at + depth * width]
                        m2 += a[start + 2 * line] * b[at + 2 * depth * width]
                        m3 += a[start + 3 * line] * b[at + 3 * depth * width]
                    for place, value in (here, m1 + m2 + m0), (here + below, m1 - m2 + m3):
                        y[place] = zero if relu and value < 0 else value
    return pair


def panel(most, lanes, itemsize):
    def panel(rows, vectors, a, tap_a, step_a, b, tap_b, step_b, taps, depth, init, init_step, y, y_step):
        a, b, init, y = numbers(a, itemsize), numbers(b, itemsize), numbers(init, itemsize), numbers(y, itemsize)
        tap_a, tap_b = table(tap_a), table(tap_b)
        for r in range(rows):
            here = r * y_step
            for c in range(vectors * lanes):
                y[here + c] = init[r * init_step + c]
            for t in range(taps):
                for k in range(depth):
                    factor, line = a[tap_a[t] + k * step_a + r], tap_b[t] + k * step_b
                    for c in range(vectors * lanes):
                        y[here + c] += factor * b[line + c]
    return panel


def dot(columns, lanes, itemsize):
    def dot(rows, a, step_a, b, step_b, vectors, y, y_step):
        a, b, y = numbers(a, itemsize), numbers(b, itemsize), numbers(y, itemsize)
        for r in range(rows):
            for c in range(columns):
                for k in range(vectors * lanes):
                    y[r * y_step + c] += a[r * step_a + k] * b[c * step_b + k]
    return dot


@intrinsic(prefer_literal=True)
def numbers(typing_context, address, itemsize):
    """An address as a pointer to float32 (itemsize 4) or float64 (8): p[i] is the number i places on."""
    if not isinstance(itemsize, types.Literal):
        return None  # Numba asks once more, with the value
    return _pointer(types.float32 if itemsize.literal_value == 4 else types.float64, address, itemsize)


@intrinsic
def table(typing_context, address):
    """An address as a pointer to integers."""
    return _pointer(types.int64, address)


def _pointer(item, *arguments):
    target = types.CPointer(item)

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(target))

    return target(*arguments), generate
