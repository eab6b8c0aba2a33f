"""What a cubin says about its kernels: code, registers, stack, shared memory.

A cubin is an ELF file.  The code of a kernel ``k`` is the section ``.text.k``.  If it has shared memory, there is a
section ``.nv.shared.k`` of the size of the static part; from sm_90 on that includes 1 KiB for the system, and a section
tells so.  The section ``.nv.info`` is a list of attributes: a byte that says how the value is stored, a byte that says
which attribute, and two bytes of value or of length.  The attributes of interest hold two 32-bit numbers: the kernel's
place in the symbol table, and the value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SYSTEM_SHARED = 1024
_SYSTEM_SECTION = ".nv.shared.reserved.0"
_SIZED = 4  # how a value of any length is stored; the other forms fit into the two bytes
_FRAME_SIZE, _REGISTERS = 0x11, 0x2F
_SYMBOL = struct.Struct("<IBBHQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")


@dataclass(frozen=True)
class Kernel:
    """Of one thread: ``registers`` and bytes of ``stack``, which is local memory; of one block: bytes of static
    ``shared`` memory."""

    code: bytes
    registers: int
    stack: int
    shared: int


def read(cubin: bytes) -> dict[str, Kernel]:
    """The kernels by name.  Raises ValueError for what is no cubin."""
    if cubin[:5] != b"\x7fELF\x02":
        raise ValueError(f"not a cubin: it begins with {cubin[:5]!r}, not as a 64-bit ELF file")
    sections = dict(_sections(cubin))
    registers, stacks = (dict(_attributes(sections[".nv.info"][0], each)) for each in (_REGISTERS, _FRAME_SIZE))
    names, symbols = sections[".strtab"][0], sections[".symtab"][0]
    system = SYSTEM_SHARED if _SYSTEM_SECTION in sections else 0
    found = {}
    for symbol, count in registers.items():
        name = _text(names, _SYMBOL.unpack_from(symbols, symbol * _SYMBOL.size)[0])
        _, shared = sections.get(f".nv.shared.{name}", (b"", system))
        found[name] = Kernel(sections[f".text.{name}"][0], count, stacks.get(symbol, 0), shared - system)
    return found


def _sections(cubin: bytes) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """Name -> bytes and size, which differ where a section only reserves memory."""
    (start,) = struct.unpack_from("<Q", cubin, 40)
    count, names_at = struct.unpack_from("<HH", cubin, 60)
    headers = [_SECTION.unpack_from(cubin, start + i * _SECTION.size) for i in range(count)]
    names = cubin[headers[names_at][4]:]
    for name, _, _, _, offset, size, *_ in headers:
        yield _text(names, name), (cubin[offset:offset + size], size)


def _attributes(info: bytes, wanted: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, at)
        if attribute == wanted and form == _SIZED:
            yield struct.unpack_from("<II", info, at + 4)
        at += 4 + (value if form == _SIZED else 0)


def _text(names: bytes, start: int) -> str:
    return names[start:names.index(b"\0", start)].decode()
