"""Which vector instructions the tiles use: found out from the CPU, or named by ``TINYCONV_ISA``.

A tile of R rows and J vectors keeps R*J accumulators, J vectors of b and one number of a in registers, so

    R*J + J + 1 <= registers        and R*J >= latency * throughput of a multiply-add, about 8 to 10.

A tall tile uses each vector of b, which comes from the second cache, for many rows; J = 2 keeps the loads well below
one a multiply-add; and R = 14 cuts the image widths of the usual networks (13, 14, 27, 28, 55, 56 ...) well.
"""

import os
from functools import cache
from typing import NamedTuple

import llvmlite.binding

from .layout import LINE_BYTES


def pair_sums(width):
    """How many of its four sums a pair tile makes at once, with vectors of so many bytes: those of 64 have registers
    for two, and take the longest to be put aside."""
    return 2 if width == 64 else 1


class ISA(NamedTuple):
    name: str
    bytes: int  # of a vector
    rows: int  # R of the usual tile; tile_rows and tile_vectors tell of others
    vectors: int  # J
    registers: int

    def lanes(self, itemsize):
        """V: numbers in a vector."""
        return self.bytes // itemsize

    @property
    def fills_lines(self):
        """Whether a vector is a whole cache line: memory then likes other ways through a matrix."""
        return self.bytes >= LINE_BYTES

    def padded(self, columns, itemsize):
        """``columns`` rounded up to whole vectors: the width of all panels together."""
        return -(-columns // self.lanes(itemsize)) * self.lanes(itemsize)

    def columns(self, itemsize):
        """Columns of a tile: the width of a panel of packed weights."""
        return self.vectors * self.lanes(itemsize)

    def tile_rows(self, vectors):
        """The most rows of a tile so many vectors wide, never more than ``rows``."""
        return min(self.rows, (self.registers - 1) // vectors - 1)

    @property
    def pair_rows(self):
        """R of a pair tile, which holds ``pair_sums`` sums of R rows at once."""
        return self.rows // pair_sums(self.bytes)

    def tile_vectors(self, rows):
        """The most vectors, a power of two up to 8, that leave registers for so many rows."""
        return min(8, 1 << (((self.registers - 1) // (rows + 1)).bit_length() - 1))

    def dot_rows(self, columns):
        """Rows of a dot tile, which holds rows*columns accumulators, a vector for each row, and one more."""
        return max(1, min(8, (self.registers - 1) // (columns + 1)))


AVX512 = ISA("avx512", 64, 14, 2, 32)  # 28 + 2 + 1
AVX2 = ISA("avx2", 32, 6, 2, 16)  # 12 + 2 + 1
NEON = ISA("neon", 16, 14, 2, 32)
PLAIN = ISA("plain", 16, 6, 2, 16)  # any other: of what it lacks, the compiler makes what it has
ALL = {isa.name: isa for isa in (AVX512, AVX2, NEON, PLAIN)}


@cache
def chosen():
    """The ISA of this process.  Raises ValueError if ``TINYCONV_ISA`` names one that there is not."""
    name = os.environ.get("TINYCONV_ISA") or of_this_cpu()
    if name not in ALL:
        raise ValueError(f"TINYCONV_ISA is {name!r}; use one of {', '.join(ALL)}, or unset it")
    return ALL[name]


@cache
def of_this_cpu():
    """The name of the one that the processor offers, whatever ``TINYCONV_ISA`` says."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return "avx512"
    if features.get("avx2") and features.get("fma"):
        return "avx2"
    return "neon" if features.get("neon") or "aarch64" in llvmlite.binding.get_process_triple() else "plain"
