"""PTX to C++: one C++ function per kernel, one C++ statement per instruction, one C++ variable per register.

    PTX    fma.rn.f32 %f3, %f1, %f2, %f3;      C++   f3 = fma(f1, f2, f3);
           ld.shared.f32 %f1, [%r4+16];              { char* at = shared(thread, r4 + 16, 7); f1 = get<float>(at + 0); }
           @%p1 bra $L__BB0_2;                       if (p1) { goto L__BB0_2; }

The number 7 is a *site*: an entry of a table that tells the runtime where in the source the access stands, what it does
and how many bytes it moves.

``instructions/`` says what each instruction means, ``function.py`` goes through a function, ``layout.py`` places what
lies in memory; here a whole file is put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import ptx
from .function import FunctionWriter, Site
from .layout import Layout, parameter_offsets
from .operation import TranslationError, cpp_name
from .ptx import Function
from .written import written

_MAXIMUM_SITES = 1 << 15  # the checker keeps a site in 15 bits


@dataclass(frozen=True)
class KernelInfo:
    """What one must know of a kernel to launch it."""

    name: str
    parameters: list[tuple[str, str]]  # name and kind
    places: list[tuple[int, int]]  # of each parameter in the block of bytes that a launch passes: offset and size
    static_shared: int
    local_nbytes: int  # thread-local arrays
    meets: bool  # threads wait for one another: barriers, operations of warps
    max_threads: int | None
    written: list[bool]  # of each parameter: whether it points to an array that the kernel may write to


@dataclass(frozen=True)
class Translation:
    text: str
    kernels: list[KernelInfo]


def translate(module: ptx.Module, signatures: dict[str, list[tuple[str, bool]]]) -> Translation:
    """``module`` as C++.  ``signatures``: of each kernel, the names of its parameters and whether they are pointers."""
    layout = Layout(module)
    sites: list[Site] = []
    writers = {function.name: FunctionWriter(function, layout, sites) for function in module.functions}
    bodies = {name: writer.translate() for name, writer in writers.items()}
    if len(sites) >= _MAXIMUM_SITES:
        raise TranslationError(f"{sites[0].location.file}: the file has {len(sites)} instructions that touch memory; "
                               f"the emulator counts to {_MAXIMUM_SITES}: split the file")
    kernels = []
    for function in module.functions:
        if function.entry:
            reached = [writers[name] for name in _reachable(function.name, writers)]
            kernels.append(KernelInfo(function.name, _kinds(function, signatures[function.name]),
                                      [(offset, v.nbytes) for v, offset in parameter_offsets(function.parameters)],
                                      layout.static_shared(function), sum(w.local_nbytes for w in reached),
                                      any(w.meets for w in reached), function.max_threads, written(function)))
    prototypes = [f"{writers[f.name].head()};" for f in module.functions if not f.entry]
    text = "\n".join(['#include "device.h"', "using namespace emulator;", "", *_site_table(sites),
                      *_variables(module), *prototypes, "", *bodies.values()])
    return Translation(text + "\n", kernels)


def _site_table(sites: list[Site]) -> Iterator[str]:
    yield "extern \"C\" const Site sites[] = {"
    yield "    {nullptr, 0, 0, Kind::Other, Space::Global, Scope::Device},"
    for site in sites:
        place = f'"{site.location.file}", {site.location.line}'
        yield f"    {{{place}, {site.nbytes}, Kind::{site.kind}, Space::{site.space}, Scope::{site.scope}}},"
    yield "};"


def _variables(module: ptx.Module) -> Iterator[str]:
    """The arrays in constant and global memory, and a table of them for the checker."""
    arrays = [variable for variable in module.variables if variable.space != "shared"]
    for variable in arrays:
        element = f"uint{8 * ptx.SIZES[variable.type]}_t"
        count = variable.nbytes // ptx.SIZES[variable.type]
        values = ", ".join(f"{element}({value & 0xffffffffffffffff}ull)" for value in variable.values)
        yield f"alignas({variable.alignment}) static {element} {cpp_name(variable.name)}[{count}] = {{{values}}};"
    rows = "".join(f'{{"{v.name}", {cpp_name(v.name)}, {v.nbytes}}}, ' for v in arrays)
    yield f'extern "C" const Variable variables[] = {{{rows}{{nullptr, nullptr, 0}}}};'
    yield f'extern "C" const int keeps_state = {int(any(v.space == "global" for v in arrays))};'


def _reachable(name: str, writers: dict[str, FunctionWriter]) -> set[str]:
    """``name`` and all functions that it calls, directly or not."""
    reached, pending = set(), [name]
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending.extend(writers[current].calls & writers.keys())
    return reached


def _kinds(function: Function, signature: list[tuple[str, bool]]) -> list[tuple[str, str]]:
    """Name and kind of each parameter.  PTX calls a pointer .u64, like a ``long long``: the signature knows."""
    kinds = []
    for parameter, (name, pointer) in zip(function.parameters, signature, strict=True):
        size = ptx.SIZES[parameter.type]
        kind = "struct" if size != parameter.nbytes else f"{'f' if parameter.type[0] == 'f' else 'i'}{8 * size}"
        kinds.append((name, "pointer" if pointer else kind))
    return kinds
