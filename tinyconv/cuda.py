"""A GPU as a device: CuPy's memory pool, one stream as the in-order queue, events between queues.

Nothing here is imported, and no driver touched, before somebody asks for ``cuda:0``.  Then CuPy is imported; or, with
``TINYCONV_CUDA=emulated``, the stand-in of ``tinyconv/emulator``, which runs the same kernels on the CPU.  The two are
used through the same names, and nothing below knows which it has.

A launch returns before the kernel has run.  What fails meanwhile surfaces at the next synchronisation;
``TINYCONV_BLOCKING=1`` makes each launch wait, so that the error names the right kernel.
"""

from __future__ import annotations

import copyreg
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from .device import Array, Device, memory_order
from .device import device as find_device
from .memory import Block, Pool
from .origin import origin
from .readers import Readers, may_change
from .timeline import recorder

_INSTALL = ('install CuPy for your driver, pip install "tinyconv[cuda13]" or "tinyconv[cuda12]", or set '
            "TINYCONV_CUDA=emulated to run the kernels on the CPU; python -m tinyconv.info tells what is here")


class CudaUnavailable(RuntimeError):
    """There is no GPU that could be used; the message says what is missing and what to do."""


def is_emulated() -> bool:
    """Whether TINYCONV_CUDA asks for the emulator.  Raises ValueError for a value that it does not know."""
    wish = os.environ.get("TINYCONV_CUDA", "")
    if wish not in ("", "emulated"):
        raise ValueError(f"TINYCONV_CUDA must be 'emulated' or not set, not {wish!r}")
    return wish == "emulated"


@cache
def backend() -> Any:
    """CuPy, or what stands in for it.  Raises CudaUnavailable if neither can run here."""
    from .kernels.gpu import use

    cupy = _stand_in() if is_emulated() else gpu()
    use(cupy)
    copyreg.pickle(cupy.ndarray, _reduce)
    return cupy


def _reduce(array: Array) -> tuple[Any, ...]:
    """For pickle: CuPy itself would restore the array on whichever GPU is current then."""
    device = cuda_device(array.device.id)
    return _restored, (device.name, device.download(array))


def _restored(device: str, array: np.ndarray) -> Array:
    return find_device(device).upload(array)


def _stand_in() -> Any:
    from .emulator import unavailable

    if reason := unavailable():
        raise CudaUnavailable(f"cuda: the emulator cannot run: {reason}")
    from .emulator import cupy

    return cupy


def gpu() -> Any:
    """CuPy itself, whatever TINYCONV_CUDA says.  Raises CudaUnavailable without CuPy, a driver or a GPU."""
    try:
        import cupy
    except Exception as error:  # whatever a broken installation raises: the CPU must still be usable
        raise CudaUnavailable(f"cuda: CuPy cannot be imported ({error}); {_INSTALL}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise CudaUnavailable(f"cuda: the driver does not answer ({error}); {_INSTALL}") from None
    if not count:
        raise CudaUnavailable(f"cuda: the driver sees no GPU; {_INSTALL}")
    return cupy


def device_count() -> int:
    """How many GPUs there are, emulated ones included; 0 where none can be used."""
    try:
        return int(backend().cuda.runtime.getDeviceCount())
    except CudaUnavailable:
        return 0


_made: dict[int, CudaDevice] = {}


def known() -> list[CudaDevice]:
    """The GPUs that somebody has used."""
    return list(_made.values())


def cuda_device(index: int) -> CudaDevice:
    """GPU number ``index``.  Raises CudaUnavailable without any, ValueError for one that is not there."""
    count = int(backend().cuda.runtime.getDeviceCount())
    if index >= count:
        more = "; TINYCONV_EMULATED_DEVICES sets how many there are" if is_emulated() else ""
        raise ValueError(f"device: there is no device 'cuda:{index}' here, only cuda:0 to cuda:{count - 1}{more}")
    if index not in _made:
        _made[index] = CudaDevice(index)
    return _made[index]


class CudaDevice(Device):
    """One GPU, with one stream."""

    def __init__(self, index: int) -> None:
        super().__init__(f"cuda:{index}", channels_last=False)
        self.cupy, self.index = backend(), index
        with self.cupy.cuda.Device(index):
            # A blocking one: it and the default stream, where a user's CuPy works, and PyTorch, wait for each other.
            # It is not ordered with other streams that a user makes, nor with a thread's own default stream.
            self.stream = self.cupy.cuda.Stream()
        self.pool = self._scratch = _GpuPool(self)
        self._pinned = Pool(self._allocate_pinned)
        self._in_flight: deque[tuple[Any, np.ndarray]] = deque()  # host arrays until the GPU has read them
        self._readers = Readers(self.shares_memory)
        self._timed: list[tuple[Any, Any, Any]] = []  # who is to be told the times of two events
        self._lock = threading.Lock()
        self._blocking = os.environ.get("TINYCONV_BLOCKING") == "1"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, CuPy works on this device and in its stream."""
        with self.cupy.cuda.Device(self.index), self.stream:
            yield

    def launch(self, kernel: str, *arrays: Array, **options: Any) -> None:
        for event in self._readers.of(may_change(kernel, arrays)):
            self.stream.wait_event(event)
        with self.current(), self._recorded(recorder(self.name, kernel, origin)):
            self._run(kernel, arrays, options)
        if self._blocking:
            self.synchronize(f"{kernel} on {self.name}")

    @contextmanager
    def _recorded(self, record: Any) -> Iterator[None]:
        """Events around what is launched inside; their times are read once it has run."""
        if record is None:
            yield
            return
        if not self._timed:  # the GPU has a clock of its own: when did it begin, in our time?
            self._zero = self.cupy.cuda.Event()
            self._zero.record(self.stream)
            self.stream.synchronize()
            self._zero_time = perf_counter()
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        begin.record(self.stream)
        yield
        end.record(self.stream)
        self._timed.append((record, begin, end))

    def _tell_times(self) -> None:
        elapsed = self.cupy.cuda.get_elapsed_time
        for record, *events in self._timed:
            record(*(self._zero_time + 1e-3 * elapsed(self._zero, event) for event in events))
        self._timed.clear()

    def synchronize(self, doing: str = "") -> None:
        try:
            self.stream.synchronize()
        except Exception as error:
            hint = doing or f"an earlier launch on {self.name} (TINYCONV_BLOCKING=1 tells which)"
            error.args = (f"{hint}: {error}",)
            raise
        self._let_go()
        self._readers.let_go()
        self._tell_times()

    def staging(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Pinned host memory: the GPU reads it by itself, while the program goes on.  So what was uploaded from it must
        be left alone; the loader takes a new array for each batch, and gets the memory again once it was read."""
        return self._pinned.empty(shape, dtype)

    def upload(self, array: np.ndarray, plain: bool = False) -> Array:
        """The bytes travel as they lie: the axes of a batch that is a view of pinned memory are turned on the GPU."""
        host = np.asarray(array)
        order, back = memory_order(host)
        host = host.transpose(order)
        if not host.flags.c_contiguous:
            host = np.array(host, order="C")
        result = self.empty(host.shape, host.dtype)
        with self.current():
            result.set(host, stream=self.stream)
            self._in_flight.append((self._mark(), host))
        self._let_go()
        return self.dense(result.transpose(back), plain)

    def _let_go(self) -> None:
        """Forget the host arrays that have been read."""
        with self._lock:
            while self._in_flight and self._in_flight[0][0].done:
                self._in_flight.popleft()

    def download(self, array: Array) -> np.ndarray:
        with self.current():
            dense = self.dense(array, plain=True)
            self.synchronize()  # so that an error of an earlier launch is told as such
            return dense.get(stream=self.stream)

    def fetch(self, array: Array, source: Device, into: Array | None = None) -> Array:
        """From GPU to GPU; where they cannot reach each other the driver goes by way of the host."""
        if not isinstance(source, CudaDevice):
            return super().fetch(array, source, into)
        if into is not None and not into.flags.c_contiguous:  # bytes travel in one piece
            self.launch("elementwise.copy", self.fetch(array, source), into)
            return into
        array = source.dense(array)
        with source.current():
            ready = source._mark()
        result = self.empty(array.shape, array.dtype) if into is None else into
        record = recorder(self.name, "copy", origin, source.name, array.nbytes)
        with self.current():
            self.stream.wait_event(ready)
            with self._recorded(record):
                result.data.copy_from_device_async(array.data, array.nbytes, self.stream)
            source._readers.add(self._mark(), array)
        return result

    def dlpack(self, array: Array, **options: Any) -> Any:
        self.synchronize()  # the consumer reads in a queue of its own
        with self.current():
            return array.__dlpack__(**options)

    def shares_memory(self, a: Array, b: Array) -> bool:
        if not (isinstance(a, self.cupy.ndarray) and isinstance(b, self.cupy.ndarray)):
            return False
        (a_begin, a_end), (b_begin, b_end) = _span(a), _span(b)
        return a_begin < b_end and b_begin < a_end

    def _mark(self) -> Any:
        """An event behind all that is queued so far."""
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.stream)
        return event

    def _allocate_pinned(self, nbytes: int) -> np.ndarray:
        with self.current():
            return np.frombuffer(self.cupy.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)


class _GpuPool(Pool):
    """CuPy's own pool, which reuses memory in the order of the stream, as :class:`Pool` shows itself."""

    def __init__(self, device: CudaDevice) -> None:
        super().__init__()
        self._device = device

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        with self._device.current():
            return self._device.cupy.empty(shape, dtype)

    def lend(self, lent: list[Block], size: int) -> Array:
        return self.empty((size,), np.uint8)  # goes back in the order of the stream by itself

    def _bytes(self, count: str) -> int:
        with self._device.current():
            return int(getattr(self._device.cupy.get_default_memory_pool(), count)())

    @property
    def lent(self) -> int:
        return self._bytes("used_bytes")

    @property
    def shelved(self) -> int:
        return self._bytes("free_bytes")

    def release(self) -> None:
        with self._device.current():
            self._device.cupy.get_default_memory_pool().free_all_blocks()


def _span(array: Array) -> tuple[int, int]:
    """The first address of an array, and the first behind it."""
    begin = end = array.data.ptr
    if array.size == 0:
        return begin, end
    for size, stride in zip(array.shape, array.strides, strict=True):
        begin, end = (begin, end + (size - 1) * stride) if stride > 0 else (begin + (size - 1) * stride, end)
    return begin, end + array.itemsize
