"""Dropout with counter-based random numbers, by its definition.  See README.md for the formulas."""

import numpy as np

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)


def apply(x, y, *, p, seed, stream, step, first_sample):
    """y = x / (1 - p) where the random number of the element is at least p * 2**32, else 0.

    The gradient is the same function of gy, so this serves backward too: no mask is kept.

    Element e of sample n (e counts the elements of one sample in logical order, whatever the layout in memory) gets
    word e % 4 of Philox4x32-10 with counter (e // 4, first_sample + n, step, stream) and key ``seed`` (low word, high
    word)."""
    count = x[0].size
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    for n in range(x.shape[0]):
        counter = (blocks, np.full_like(blocks, first_sample + n), np.full_like(blocks, step),
                   np.full_like(blocks, stream))
        words = np.stack(philox4x32_10(counter, (seed & 0xFFFFFFFF, seed >> 32)), axis=-1).reshape(-1)[:count]
        keep = words >= round(p * 2 ** 32)
        y[n] = np.where(keep.reshape(x.shape[1:]), x[n] * x.dtype.type(1 / (1 - p)), 0)


def philox4x32_10(counter, key):
    """Four random 32-bit words for each counter of four words, under a key of two.

    Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).  Ten rounds; each multiplies
    two words into 64-bit products and crosses the halves over; the key moves on by the Weyl constants.  Words are
    held in uint64 arrays so that a product of two fits."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) & _LOW for word in counter)
    k0, k1 = (np.uint64(word) for word in key)
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = ((product1 >> np.uint64(32)) ^ c1 ^ k0, product1 & _LOW,
                          (product0 >> np.uint64(32)) ^ c3 ^ k1, product0 & _LOW)
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3
