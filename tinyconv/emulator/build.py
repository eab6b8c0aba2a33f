"""From CUDA C++ to a shared object that the emulator can run, with every step kept on disk.

What is kept is named by a hash of all that it was made from, so nothing in the cache is ever out of date, and a changed
source simply has another name.  A warm start reads files and runs neither NVRTC nor the C++ compiler; the tools
themselves are part of the name too, unless one is missing, when whatever was made with it before will do.

    source, its headers, options, architecture -- NVRTC --> PTX -- translate.py --> C++ -- C++ compiler --> .so
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from . import nvrtc, ptx
from .nvrtc import EmulatorUnavailable
from .signature import signatures
from .store import content, kept, key
from .translate import KernelInfo, translate

_HERE = Path(__file__).parent
_MARKS_POINTERS = 100
_TRANSLATOR = ("ptx", "signature", "translate", "function", "layout", "operation", "build", "store")
_FLUSHING = ("x86_64", "AMD64", "aarch64", "arm64")  # processors that scheduler.cpp can tell to flush subnormal numbers
_RUNTIME = ("launch.cpp", "scheduler.cpp", "warp.cpp", "copies.cpp", "check.cpp", "order.cpp", "races.cpp")
# Kernels have large functions without end; -O1 compiles them in half the time of -O2 and runs as fast.  The rest makes
# floating point what PTX says: no a * b + c contracted to a fma that the kernel did not ask for.
_FLAGS = ("-std=c++17", "-shared", "-fPIC", "-march=native", "-ffp-contract=off", "-fno-math-errno",
          "-fno-trapping-math",
          "-fwrapv", "-w")


def unavailable() -> str | None:
    """Why kernels cannot be built here, and what to install; None if they can."""
    try:
        nvrtc.load()
        compiler()
    except EmulatorUnavailable as error:
        return str(error)
    return None


def compiler() -> str:
    """The path of a C++ compiler: $CXX, g++, clang++ or c++."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            return path
    raise EmulatorUnavailable("no C++ compiler was found (g++, clang++ or c++); install one, for example with: "
                              "apt install g++")


def kernels(code: str, options: Sequence[str], file: str, arch: int, check: bool) -> tuple[Path, list[KernelInfo]]:
    """The shared object of a file of kernels, and what is in it."""
    source = key(_sources(code, options), *options, file, str(arch), _own_sources())
    translation = kept(key("translation", source), ".json",
                       lambda: _translate(code, options, file, arch), nvrtc.identity)
    known = json.loads(content(translation))
    flags = ("-O1", *(["-DCHECK"] if check else []), *(["-DPROCESSOR_FLUSHES"] if flushes(options) else []))
    path = kept(key("kernels", source, str(check), _processor()), ".so",
                lambda: _compile(file, known["text"], *flags), nvrtc.identity, _compiler_identity)
    return path, [KernelInfo(**kernel) for kernel in known["kernels"]]


def _translate(code: str, options: Sequence[str], file: str, arch: int) -> bytes:
    module = _parsed(code, options, file, arch)
    return json.dumps(asdict(translate(module, _signatures(module, code, options, file)))).encode()


def _parsed(code: str, options: Sequence[str], file: str, arch: int) -> ptx.Module:
    try:
        return ptx.parse(ptx_text(code, options, file, arch))
    except ptx.PtxError as error:
        raise ptx.PtxError(f"{file}: {error}") from None


def flushes(options: Sequence[str]) -> bool:
    """Whether a launch shall let the processor flush subnormal numbers, as -ftz=true wants it."""
    return any(option.lstrip("-") == "ftz=true" for option in options) and platform.machine() in _FLUSHING


def runtime() -> Path:
    """The shared object of the runtime, which all kernels share."""
    text = "".join(f'#include "{name}"\n' for name in _RUNTIME)
    return kept(key("runtime", _own_sources(), _processor()), ".so",
                lambda: _compile("the emulator's runtime", text, "-O2", "-fno-semantic-interposition"),
                _compiler_identity)


def ptx_text(code: str, options: Sequence[str], file: str, arch: int) -> str:
    """The PTX of a file, from the cache or from NVRTC."""
    return content(kept(key("ptx", _sources(code, options), *options, file, str(arch)), ".ptx",
                        lambda: nvrtc.ptx(code, file, arch, options).encode(), nvrtc.identity)).decode()


def _signatures(module: ptx.Module, code: str, options: Sequence[str], file: str) -> dict[str, list[tuple[str, bool]]]:
    """Of each kernel, the names of its parameters and which are pointers: from the source, where it says so plainly;
    where a macro or a type of another name stands in the way, from PTX for sm_100, the first that marks pointers."""
    found, entries = signatures(code), [function for function in module.functions if function.entry]
    if all(_plain(entry, found.get(entry.name, [])) for entry in entries):
        return {name: [(each, bool(pointer)) for each, pointer in parameters] for name, parameters in found.items()}
    recent = {function.name: function for function in _parsed(code, options, file, _MARKS_POINTERS).functions}
    known = {}
    for entry in entries:
        names = [name for name, _ in found.get(entry.name, [])]
        if len(names) != len(entry.parameters):
            names = [f"argument {i}" for i in range(len(entry.parameters))]
        known[entry.name] = [(name, p.pointer) for name, p in zip(names, recent[entry.name].parameters, strict=True)]
    return known


def _plain(entry: ptx.Function, declared: list[tuple[str, bool | None]]) -> bool:
    """Whether the source tells of each parameter that may be a pointer, an integer of 64 bits, whether it is one."""
    return len(declared) == len(entry.parameters) and all(
        pointer is not None or p.nbytes != 8 or p.type not in ("u64", "b64")
        for (_, pointer), p in zip(declared, entry.parameters, strict=True))


def cubin(code: str, options: Sequence[str], file: str, arch: int) -> bytes:
    """The machine code of a file, from the cache or from NVRTC."""
    return content(kept(key("cubin", _sources(code, options), *options, file, str(arch)), ".cubin",
                        lambda: nvrtc.cubin(code, file, arch, options), nvrtc.identity))


# ------------------------------------------------------------------------------------------------ names in the cache

def _sources(code: str, options: Sequence[str]) -> str:
    """``code`` with the headers that it or an option includes and that lie in the folders of -I, in the current one, or
    beside the header that names them.  (Those of the compiler belong to its version.)"""
    folders = [*map(Path, _said(options, "-I", "--include-path")), Path()]
    first = "".join(f'#include "{name}"\n' for name in _said(options, "-include", "--pre-include"))
    texts, seen, pending = [code], set(), [(first + code, folders)]
    while pending:
        text, where = pending.pop()
        for name in re.findall(r'^\s*#\s*include\s*[<"]([^">]+)[">]', text, flags=re.M):
            path = next((folder / name for folder in where if (folder / name).is_file()), None)
            if path and path not in seen:
                seen.add(path)
                texts.append(f"{name}\n{path.read_text(encoding='utf-8')}")
                pending.append((texts[-1], [path.parent, *folders]))
    return "\0".join(texts)


def _said(options: Sequence[str], *flags: str) -> list[str]:
    """What options say: -I<folder>, or in two words, or --include-path=<folder>."""
    said = []
    for option, following in zip(options, [*options[1:], ""], strict=False):
        for flag in flags:
            if option == flag:
                said.append(following)
            elif option.startswith(flag):
                said.append(option[len(flag):].removeprefix("="))
    return said


@cache
def _own_sources() -> str:
    """The translator and the runtime."""
    names = ("*.h", "*.cpp", *(f"{name}.py" for name in _TRANSLATOR), "instructions/*.py")
    files = sorted(path for name in names for path in _HERE.glob(name))
    return "\0".join(path.read_text(encoding="utf-8") for path in files)


@cache
def _processor() -> str:
    """What -march=native depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return "".join(re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text.split("\n\n")[0], flags=re.M))
    except OSError:
        return platform.machine() + platform.processor()


def _compiler_identity() -> str | None:
    try:
        path = Path(compiler()).resolve()
    except EmulatorUnavailable:
        return None
    return f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}"


# ------------------------------------------------------------------------------------------------ the C++ compiler

def _compile(what: str, text: str, *flags: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tinyconv-") as folder:
        source, made = Path(folder) / "code.cpp", Path(folder) / "code.so"
        source.write_text(text, encoding="utf-8")
        command = [compiler(), *_FLAGS, *flags, f"-I{_HERE}", str(source), "-o", str(made)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{what}: the C++ compiler failed: {' '.join(command)}\n{run.stderr[:4000]}")
        return made.read_bytes()
