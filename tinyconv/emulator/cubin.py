"""What a cubin (an ELF file) says about its kernels."""

from __future__ import annotations

import struct

_REGISTER_COUNT = 0x2F  # the attribute of .nv.info that holds, per function, how many registers a thread needs


def registers(cubin: bytes) -> dict[str, int]:
    """Registers per thread of each kernel, as ptxas allocated them."""
    sections = _sections(cubin)
    names = _symbols(cubin, sections)
    begin, nbytes = sections[".nv.info"][:2]
    found, position = {}, begin
    while position < begin + nbytes:
        form, attribute, size = struct.unpack_from("<BBH", cubin, position)
        position += 4
        if form == 4:  # a value of `size` bytes follows; in the other forms `size` is the value
            if attribute == _REGISTER_COUNT:
                symbol, count = struct.unpack_from("<II", cubin, position)
                found[names[symbol]] = count
            position += size
    return found


def _sections(elf: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of each section."""
    table, = struct.unpack_from("<Q", elf, 40)
    entry, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * entry) for i in range(count)]
    strings = headers[names][4]
    return {_string(elf, strings + header[0]): (header[4], header[5]) for header in headers}


def _symbols(elf: bytes, sections: dict[str, tuple[int, int]]) -> list[str]:
    begin, nbytes = sections[".symtab"]
    strings = sections[".strtab"][0]
    return [_string(elf, strings + struct.unpack_from("<I", elf, begin + i)[0]) for i in range(0, nbytes, 24)]


def _string(elf: bytes, offset: int) -> str:
    return elf[offset:elf.index(b"\0", offset)].decode()
