"""What a streaming multiprocessor (SM) of each architecture has.

Sources: the CUDA C++ Programming Guide, "Compute Capabilities" (technical specifications; throughput of native
arithmetic instructions: "32-bit floating-point add, multiply, multiply-add"), and for TF32 the dense peaks of NVIDIA's
data sheets (A100, A40, H100 SXM, B200, RTX 5090) divided by SMs and clock.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTITIONS = 4  # an SM is four sub-partitions, each of which issues one instruction of one warp per cycle
WARP = 32
REGISTERS = 65536  # 32-bit, per SM and also the most that a block can have
SHARED_BYTES_PER_CYCLE = 128  # 32 banks of 4 bytes, for the whole SM


@dataclass(frozen=True)
class Architecture:
    """``fp32``: lanes for 32-bit floating point per SM; ``tf32``: multiply-adds of the tensor cores per SM and cycle,
    0 without TF32; ``shared``: KiB of shared memory per SM; ``shared_per_block``: the most that one block may ask for;
    ``shared_reserved``: bytes that the system takes per block; ``shared_unit``: bytes in which it is handed out."""

    number: int
    example: str
    fp32: int
    tf32: int
    threads: int
    blocks: int
    shared: int
    shared_per_block: int
    shared_reserved: int
    shared_unit: int

    @property
    def name(self) -> str:
        return f"sm_{self.number}"


ARCHITECTURES = {each.number: each for each in (
    #            sm  example      FP32   TF32  threads  blocks  shared KiB  /block  reserved  unit
    Architecture(75, "T4",          64,     0,    1024,     16,         64,     64,        0,  256),
    Architecture(80, "A100",        64,   512,    2048,     32,        164,    163,     1024,  128),
    Architecture(86, "RTX 3090",   128,   256,    1536,     16,        100,     99,     1024,  128),
    Architecture(90, "H100",       128,  1024,    2048,     32,        228,    227,     1024,  128),
    Architecture(100, "B200",      128,  2048,    2048,     32,        228,    227,     1024,  128),
    Architecture(120, "RTX 5090",  128,   256,    1536,     24,        100,     99,     1024,  128),
)}
