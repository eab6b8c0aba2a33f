"""Dropout on all cores.  The random numbers are a function of the counter alone, so the threads share out the elements
as they like, and draw what the reference draws, bit for bit."""

import numpy as np

from ..jit import inline, jit, prange
from ..layout import channels_last


def apply(x, y, *, p, seed, stream, step, first_sample):
    # (N, HW, C); what is no image has one channel: its memory order is the logical order.
    xs, ys = (channels_last(a).reshape(len(a), -1, a.shape[1]) if a.ndim == 4 else a.reshape(len(a), -1, 1)
              for a in (x, y))
    _apply(xs, ys, np.uint64(round(p * 2 ** 32)), x.dtype.type(1 / (1 - p)), seed & 0xFFFFFFFF, seed >> 32,
           stream & 0xFFFFFFFF, step & 0xFFFFFFFF, first_sample)


@inline
def _philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: see reference.py."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (product1 >> half) ^ c1 ^ k0, product1 & low, (product0 >> half) ^ c3 ^ k1, product0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return c0, c1, c2, c3


@jit
def _apply(x, y, threshold, scale, key0, key1, stream, step, first_sample):
    N, pixels, C = x.shape
    count = pixels * C
    strip = 256  # blocks of four elements that a thread takes at a time
    strips = (count + 4 * strip - 1) // (4 * strip)
    zero = x.dtype.type(0)
    for task in prange(N * strips):
        n, first = task // strips, task % strips * strip
        sample = np.uint64(first_sample + n) & np.uint64(0xFFFFFFFF)
        words = np.empty((strip, 4), np.uint64)
        for block in range(strip):
            words[block, 0], words[block, 1], words[block, 2], words[block, 3] = _philox(
                np.uint64(first + block), sample, np.uint64(step), np.uint64(stream), np.uint64(key0), np.uint64(key1))
        word, begin = words.reshape(-1), 4 * first
        end = min(begin + 4 * strip, count)
        if C == 1:
            for i in range(begin, end):
                y[n, i, 0] = x[n, i, 0] * scale if word[i - begin] >= threshold else zero
        else:
            for element in range(begin, end):
                c, i = element // pixels, element % pixels
                y[n, i, c] = x[n, i, c] * scale if word[element - begin] >= threshold else zero
