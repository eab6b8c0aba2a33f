"""From CUDA C++ to a shared object that the emulator can run, with every step kept on disk.

What is kept is named by a hash of all that it was made from, so nothing in the cache is ever out of date, and a changed
source simply has another name.  A warm start reads files and runs neither NVRTC nor the C++ compiler; the tools
themselves are part of the name too, unless one is missing, when whatever was made with it before will do.

    source, its headers, options, architecture -- NVRTC --> PTX -- translate.py --> C++ -- C++ compiler --> .so
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from . import nvrtc, ptx
from .nvrtc import EmulatorUnavailable
from .signature import signatures
from .translate import KernelInfo, translate

_HERE = Path(__file__).parent
_MARKS_POINTERS = 100
_TRANSLATOR = ("ptx", "signature", "translate", "function", "layout", "operation", "build")
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


def cache_folder() -> Path:
    """$TINYCONV_CACHE, else ~/.cache/tinyconv, and there ``emulator``."""
    root = os.environ.get("TINYCONV_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "tinyconv")
    return Path(root).expanduser() / "emulator"


def kernels(code: str, options: Sequence[str], file: str, arch: int, check: bool) -> tuple[Path, list[KernelInfo]]:
    """The shared object of a file of kernels, and what is in it."""
    source = _key(_sources(code, options), *options, file, str(arch), _own_sources())
    translation = _cached(_key("translation", source), ".json",
                          lambda target: _translate(code, options, file, arch, target),
                          nvrtc.identity)
    known = json.loads(translation.read_text(encoding="utf-8"))
    flags = ("-O1", *(["-DCHECK"] if check else []), *(["-DPROCESSOR_FLUSHES"] if flushes(options) else []))
    path = _cached(_key("kernels", source, str(check), _processor()), ".so",
                   lambda target: _compile(known["text"], target, *flags), nvrtc.identity, _compiler_identity)
    return path, [KernelInfo(**kernel) for kernel in known["kernels"]]


def _translate(code: str, options: Sequence[str], file: str, arch: int, target: Path) -> None:
    module = ptx.parse(ptx_text(code, options, file, arch))
    translation = translate(module, _signatures(module, code, options, file))
    _write(target, json.dumps(asdict(translation)).encode())


def flushes(options: Sequence[str]) -> bool:
    """Whether a launch shall let the processor flush subnormal numbers, as -ftz=true wants it."""
    return any(option.lstrip("-") == "ftz=true" for option in options) and platform.machine() in _FLUSHING


def runtime() -> Path:
    """The shared object of the runtime, which all kernels share."""
    def make(target: Path) -> None:
        text = "".join(f'#include "{name}"\n' for name in _RUNTIME)
        _compile(text, target, "-O2", "-fno-semantic-interposition")
    return _cached(_key("runtime", _own_sources(), _processor()), ".so", make, _compiler_identity)


def ptx_text(code: str, options: Sequence[str], file: str, arch: int) -> str:
    """The PTX of a file, from the cache or from NVRTC."""
    key = _key("ptx", _sources(code, options), *options, file, str(arch))
    return _cached(key, ".ptx", lambda target: _write(target, nvrtc.ptx(code, file, arch, options).encode()),
                   nvrtc.identity).read_text(encoding="utf-8")


def _signatures(module: ptx.Module, code: str, options: Sequence[str], file: str) -> dict[str, list[tuple[str, bool]]]:
    """Of each kernel, the names of its parameters and which are pointers: from the source, where it says so plainly.
    If a macro makes the parameters, from PTX for sm_100, the first that marks pointers (names stay unknown)."""
    found, entries = signatures(code), [function for function in module.functions if function.entry]
    if any(len(found.get(entry.name, ())) != len(entry.parameters) for entry in entries):
        recent = {f.name: f for f in ptx.parse(ptx_text(code, options, file, _MARKS_POINTERS)).functions}
        for entry in entries:
            if len(found.get(entry.name, ())) != len(entry.parameters):
                found[entry.name] = [(f"argument {i}", p.pointer) for i, p in enumerate(recent[entry.name].parameters)]
    return found


def cubin(code: str, options: Sequence[str], file: str, arch: int) -> bytes:
    """The machine code of a file, from the cache or from NVRTC."""
    key = _key("cubin", _sources(code, options), *options, file, str(arch))
    return _cached(key, ".cubin", lambda target: _write(target, nvrtc.cubin(code, file, arch, options)),
                   nvrtc.identity).read_bytes()


# ------------------------------------------------------------------------------------------------ names in the cache

def _key(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} {part}".encode())
    return digest.hexdigest()[:32]


def _sources(code: str, options: Sequence[str]) -> str:
    """``code`` with the headers that it includes and that lie in the folders of -I or beside the header that names
    them.  (Those of the compiler belong to its version.)"""
    folders = [Path(option[2:]) for option in options if option.startswith("-I") and len(option) > 2]
    texts, seen, pending = [code], set(), [(code, folders)]
    while pending:
        text, where = pending.pop()
        for name in re.findall(r'^\s*#\s*include\s*[<"]([^">]+)[">]', text, flags=re.M):
            path = next((folder / name for folder in where if (folder / name).is_file()), None)
            if path and path not in seen:
                seen.add(path)
                texts.append(f"{name}\n{path.read_text(encoding='utf-8')}")
                pending.append((texts[-1], [path.parent, *folders]))
    return "\0".join(texts)


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


def _cached(key: str, suffix: str, make: Callable[[Path], None], *tools: Callable[[], str | None]) -> Path:
    """The file that ``make`` writes, made now if it is not there."""
    identities = [tool() for tool in tools]
    folder = cache_folder()
    if None in identities:
        made_before = sorted(folder.glob(f"{key}-*{suffix}"))
        path = made_before[-1] if made_before else folder / f"{key}-none{suffix}"
    else:
        path = folder / f"{key}-{_key(*map(str, identities))[:8]}{suffix}"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            make(path)
        except OSError as error:
            raise RuntimeError(f"the emulator cannot keep what it builds in {folder} ({error.strerror}); set "
                               "TINYCONV_CACHE to a folder that can be written to") from error
    return path


# ------------------------------------------------------------------------------------------------ files

def _compile(text: str, target: Path, *flags: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tinyconv-") as folder:
        source, made = Path(folder) / "code.cpp", Path(folder) / "code.so"
        source.write_text(text, encoding="utf-8")
        command = [compiler(), *_FLAGS, *flags, f"-I{_HERE}", str(source), "-o", str(made)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"the C++ compiler failed on a translated kernel: {' '.join(command)}\n"
                               f"{run.stderr[:4000]}")
        _write(target, made.read_bytes())


def _write(target: Path, content: bytes) -> None:
    """A file appears complete or not at all, whatever other processes write at the same time."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
