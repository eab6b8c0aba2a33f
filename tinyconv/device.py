"""A device: memory, and a queue that runs kernels in order.

``cpu`` runs each launch at once, on all cores, with the Numba kernels.  ``reference`` runs the definitions: plain
NumPy, slow and obviously right.  Both are the same class, for a device only knows three things: where its memory
comes from, how it likes activations laid out, and in which file of a kernel's folder its kernels are.

The others return from a launch before it has run.  ``cpu:0``, ``cpu:1`` ... are shares of the cores, each with a thread
of its own: ``cores.py``.  ``cuda:0``, ``cuda:1`` ... are GPUs: ``cuda.py``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np

from .kernels.scratch import deal, wanted_by
from .memory import Block, Pool
from .origin import origin
from .timeline import recorder

Array = Any  # np.ndarray on the CPU devices; a device with memory of its own brings its own array type


class Device:
    """A place where arrays live and kernels run.  Get one with :func:`device`; compare with ``==`` or ``is``."""

    def __init__(self, name: str, channels_last: bool) -> None:
        self.name = name
        self.kind = name.partition(":")[0]  # the file of a kernel's folder that serves this device
        self.channels_last = channels_last  # activations (N, C, H, W) lie in memory as (N, H, W, C)
        self.pool = self._scratch = Pool()

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.name,)  # copy and pickle of what lives here refer to this device, and do not copy it

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32, plain: bool = False) -> Array:
        """An uninitialised array of logical shape ``shape``.

        A four-dimensional array is laid out as this device likes its activations, unless ``plain`` asks for row-major
        memory, as parameters and their gradients have it.  Nobody but a kernel can tell the difference."""
        if self.channels_last and len(shape) == 4 and not plain:
            n, c, h, w = shape
            return self.pool.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)
        return self.pool.empty(tuple(shape), dtype)

    def dense(self, array: Array, plain: bool = False) -> Array:
        """``array`` itself if it lies as :meth:`empty` would have laid it, else a copy that does."""
        memory_order = array.transpose(0, 2, 3, 1) if self.channels_last and array.ndim == 4 and not plain else array
        if memory_order.flags.c_contiguous and getattr(array.flags, "aligned", True):  # arrays of a GPU always are
            return array
        return self.copy(array, plain)

    def copy(self, array: Array, plain: bool = False) -> Array:
        """A copy of an array of this device."""
        copy = self.empty(array.shape, array.dtype, plain)
        self.launch("elementwise.copy", array, copy)
        return copy

    def shares_memory(self, a: Array, b: Array) -> bool:
        """Whether two arrays may overlap (by the bounds of their memory: quick, never wrongly False).  One may be of
        another device."""
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)

    def launch(self, kernel: str, *arrays: Array, **options: Any) -> None:
        """Run ``kernel``, for example ``"lrn.forward"``: the function ``forward`` of ``kernels/lrn/<kind>.py``.

        A kernel fills the arrays that it is given and allocates nothing.  For memory that it needs until it returns it
        has a parameter ``scratch``: a function of (shape, dtype) ... that returns uninitialised arrays."""
        record, begin = recorder(self.name, kernel, origin), perf_counter()
        self._run(kernel, arrays, options)
        if record:
            record(begin, perf_counter())

    def _run(self, kernel: str, arrays: Sequence[Array], options: dict[str, Any], where: object = None) -> None:
        try:
            run, wants_scratch = find_kernel(kernel, self.kind)
            if wants_scratch:
                self._run_with_scratch(run, arrays, options)
            else:
                run(*arrays, **options)
        except Exception as error:
            note = f"{kernel} on {self.name}{f', launched at {where}' if where else ''}"
            if told := _in_other_words(error, note):
                raise told from error
            raise

    def _run_with_scratch(self, run: Callable[..., None], arrays: Sequence[Array], options: dict[str, Any]) -> None:
        lent: list[Block] = []
        try:
            run(*arrays, scratch=partial(deal, partial(self._scratch.lend, lent)), **options)
        finally:
            for block in lent:
                self._scratch.take_back(block)

    def synchronize(self) -> None:
        """Wait until every launch has finished.  These devices run a launch at once, so there is nothing to wait
        for."""

    def upload(self, array: np.ndarray, plain: bool = False) -> Array:
        """A copy of a host array in this device's memory."""
        return self.copy(array, plain)

    def download(self, array: Array) -> np.ndarray:
        """A contiguous copy in host memory."""
        self.synchronize()
        return np.array(array, order="C")

    def fetch(self, array: Array, source: Device, into: Array | None = None) -> Array:
        """A copy, here, of an array of another device: a new one, or ``into`` one of this device."""
        if into is None:
            return self.upload(source.download(array))
        self.launch("elementwise.copy", self.upload(source.download(array)), into)
        return into

    def dlpack(self, array: Array, **options: Any) -> Any:
        """The capsule through which other libraries share the memory of an array."""
        return array.__dlpack__(**options)

    def array_interface(self, array: Array) -> dict[str, Any]:
        """What other libraries for GPUs want to know of an array (``__cuda_array_interface__``), once it is computed.

        Raises AttributeError on a device that is no GPU."""
        interface = dict(array.__cuda_array_interface__)
        self.synchronize()  # the other library has a queue of its own
        return interface

    def staging(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Uninitialised host memory from which :meth:`upload` is quick: the loader's batches."""
        return self.pool.empty(shape, dtype)


def memory_order(array: np.ndarray) -> tuple[list[int], list[int]]:
    """The axes of a host array from the largest stride to the smallest, and the transposition that undoes it: of a
    batch that is a view of (N, H, W, C), (0, 2, 3, 1) and (0, 3, 1, 2)."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return order, [order.index(axis) for axis in range(array.ndim)]


def _in_other_words(error: Exception, note: str) -> Exception | None:
    """Name the kernel in the message (``add_note`` came with Python 3.11 only).  An error that has something else in
    the place of a message is told by a new one."""
    if error.args and isinstance(error.args[0], str):
        error.args = (f"{note}: {error.args[0]}", *error.args[1:])
        return None
    kind = MemoryError if isinstance(error, MemoryError) else RuntimeError
    return kind(f"{note}: {str(error) or type(error).__name__}")


@cache
def find_kernel(kernel: str, kind: str) -> tuple[Callable[..., None], bool]:
    """The kernel of that name, and whether it wants scratch memory."""
    folder, function = kernel.split(".")
    module = importlib.import_module(f"tinyconv.kernels.{folder}.{kind}")
    run = getattr(module, function)
    return run, wanted_by(run)


_DEVICES = {"cpu": Device("cpu", channels_last=True), "reference": Device("reference", channels_last=False)}
_NUMBERED = re.compile(r"(cuda|cpu)(?::(\d+))|cuda")


def device(name: str | Device) -> Device:
    """The device called ``name``: ``"cpu"``, ``"reference"``, ``"cpu:0"``, ``"cpu:1"`` ..., ``"cuda:0"`` (or
    ``"cuda"``), ``"cuda:1"`` ...

    ``cpu:0`` and ``cpu:1`` are half of the cores each, unless :func:`devices` has shared them out otherwise.

    Raises ValueError for any other name, and :class:`tinyconv.cuda.CudaUnavailable`, which says what to do, where
    there is no GPU."""
    if isinstance(name, Device):
        return name
    if isinstance(name, str):
        if name in _DEVICES:
            return _DEVICES[name]
        if match := _NUMBERED.fullmatch(name):
            index = int(match[2] or 0)  # what follows is not imported before it is asked for
            if match[1] == "cpu":
                from .cores import cpu_part

                return cpu_part(index)
            from .cuda import cuda_device

            return cuda_device(index)
    raise ValueError(f"device: there is no device {name!r} here; available: {', '.join(devices())}")


def devices(kind: str | None = None, n: int | None = None) -> list[str]:
    """The names of the devices of this machine, GPUs included; or only those of a kind: "cpu", "cuda", "reference".

    ``devices("cpu", n)`` shares out the cores among n devices, ``cpu:0`` to ``cpu:n-1``, which compute at the same
    time, and returns their names.  It can be done anew at any time.  ``devices("cuda", n)`` gives the first n GPUs.

    Raises ValueError for an unknown kind, and if n is no count, or there are not so many; RuntimeError if Numba's
    threads cannot serve two devices (see ``cores.py``)."""
    kinds = ("cpu", "cuda", "reference")
    if kind not in (None, *kinds):
        raise ValueError(f"devices: kind must be one of {', '.join(kinds)}, not {kind!r}")
    if n is not None and (isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 or kind is None):
        raise ValueError(f"devices: n must be an int of at least 1, and of a kind; not {n!r} of {kind!r}")
    if kind == "cpu" and n is not None:
        from .cores import split

        return split(int(n))
    found = [name for name in _names() if kind in (None, name.partition(":")[0])]
    if n is not None and len(found) < n:
        raise ValueError(f"devices: there are {len(found)} devices of kind {kind!r}, not {n}")
    return found[:n]


def _names() -> list[str]:
    from .cuda import device_count

    cores = sys.modules.get(f"{__package__}.cores")
    return ["cpu", *(cores.names() if cores else ()), "reference", *(f"cuda:{i}" for i in range(device_count()))]


def known_devices() -> list[Device]:
    """Those that somebody has used: no GPU is looked for."""
    modules = (sys.modules.get(f"{__package__}.{name}") for name in ("cores", "cuda"))
    return [*_DEVICES.values(), *(d for module in modules if module for d in module.known())]
