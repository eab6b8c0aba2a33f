"""The weight gradient where x has few channels, as an image has three.

A row of the window, S*C numbers that lie side by side in x, then takes the place of the channels (see ``gradient.py``),
and gw is small.  So the rows of all images are cut into bands.  A task takes its band through everything, with sums of
its own, a few rows at a time, so that what it copies of x and gy stays in its core's cache; at the end the sums of the
bands are added up.  The bands follow from the shapes alone, and so does every bit of the result.
"""

import numba
import numpy as np

from .. import isa, tile
from ..jit import jit, prange
from ..runs import clear, run, where
from .direct import needed_size, window_runs
from .packing import frame_row, pack_row

_BANDS, _ROWS = 32, 8  # at most so many, and none with fewer rows of gy
_CACHE = 300 << 10  # bytes of x and gy that a task takes at a time


def backward_weight(x, gy, gw, y, stride, padding, groups, scratch):
    windows, panels, sums = scratch(*_plan(x, gy, gw, stride, groups))
    best, item, (_, C, R, S) = isa.chosen(), x.itemsize, gw.shape
    tap, length = window_runs(R, S, C, windows.shape[2], x.shape[3])
    _sum_bands(x, gy, y, windows, panels, sums, padding, stride, groups, R, length, tap, tile.height(length),
               best.lanes(item), tile.address("panel", item))
    for band in sums[1:]:
        sums[0] += band
    whole = sums[0].reshape(groups, R, S, C, -1)[..., :len(gw) // groups]
    gw[...] = whole.transpose(0, 4, 3, 1, 2).reshape(gw.shape)


def _plan(x, gy, gw, stride, groups):
    """The (shape, dtype) of each thread's rows of x (height, width, channels) and of gy, and of the bands' sums."""
    item, (K, C, R, S), (N, P, Q, _), channels = x.itemsize, gw.shape, gy.shape, x.shape[3]
    columns, width = isa.chosen().padded(K // groups, item), needed_size((P, Q), (R, S), stride)[1]
    threads = numba.get_num_threads()
    row = groups * columns * Q
    rows = max(1, min(P, (_CACHE // item - R * width * channels) // (stride[0] * width * channels + row)))
    bands = max(1, min(_BANDS, N * P // _ROWS))
    return (((threads, (rows - 1) * stride[0] + R, width, channels), x.dtype), ((threads, rows, row), x.dtype),
            ((bands, groups, R * S * C, columns), x.dtype))


@jit
def _sum_bands(x, gy, y, windows, panels, sums, padding, stride, groups, R, length, taps, tall, lanes, panel_tile):
    """sums[band, group][tap and r, k] = the sum over the band's pixels of x[its window; tap and r] * gy[pixel, k]."""
    _, P, Q, _ = gy.shape
    _, _, width, channels = windows.shape
    bands, wide, padded, most = len(sums), 2 * lanes, sums.shape[3], panels.shape[1]
    parts, rows, whole = (padded + wide - 1) // wide, len(gy) * P, taps.size * length
    for band in prange(bands):
        slot, total = numba.get_thread_id(), band * groups * padded * whole
        clear(run(sums, total, groups * padded * whole))
        places = np.arange(most) * (stride[0] * width * channels)
        row, end = rows * band // bands, rows * (band + 1) // bands
        while row < end:
            n, p = row // P, row % P
            here = min(most, end - row, P - p)
            window, panel = slot * windows[0].size, slot * panels[0].size
            for i in range((here - 1) * stride[0] + R):
                frame_row(x, None, windows, window + i * width * channels, width, n, p * stride[0] - padding[0] + i,
                          padding[1])
            for line in range(here):
                pack_row(gy, y, panels, panel, line, here * Q, row + line, groups, lanes)
            for part in range(groups * parts):
                group, column = part // parts, part % parts * wide
                size = min(wide, padded - column)
                lines = np.arange(most) * (Q * size)
                for tap in range(taps.size):
                    for r in range(0, length, tall):
                        result = total + (group * whole + tap * length + r) * padded + column
                        tile.call(panel_tile,
                                  (min(tall, length - r), size // lanes,
                                   where(windows, window + group * length + taps[tap] + r), where(places, 0),
                                   stride[1] * channels, where(panels, panel + (group * padded + column) * here * Q),
                                   where(lines, 0), size, here, Q, where(sums, result), padded, where(sums, result),
                                   padded))
            row += here
