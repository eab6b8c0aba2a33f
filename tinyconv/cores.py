"""``cpu:0``, ``cpu:1`` ...: the cores shared out among devices that compute at the same time.

Each has a worker thread (``worker.py``) that runs its launches in order, on its share of the cores, while the program
goes on; kernels release Python's global lock.  So the same model that runs on two GPUs runs on two halves of a CPU.

Memory is reused in the order of the queue.  A launch holds the addresses of its arrays, not the arrays: as soon as the
*program* drops one, its block serves the next, because whoever gets it is behind in the same queue.  So a program that
runs ahead needs no more memory than one that waits.  Two things must be held until they were read: host arrays that
are uploaded, and arrays that another queue copies (``readers.py``).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from .device import Array, Device, memory_order
from .device import device as find_device
from .memory import Pool, borrowed_from
from .origin import Origin, origin
from .readers import Readers, may_change
from .timeline import recorder
from .worker import Event, Worker

MOST = 256  # devices: each has a thread
_LARGE, _UPLOADS = 1 << 20, 3  # bytes of an array of which only so many wait to be read

_names: list[str] = []  # of the devices into which the cores are split now
_made: dict[str, CpuPart] = {}  # those and any of before


def split(n: int) -> list[str]:
    """Share out the cores among ``cpu:0`` ... ``cpu:n-1`` and return these names.  It can be done anew at any time,
    for no result depends on the number of threads.

    Raises ValueError unless n is from 1 to 256, RuntimeError if Numba's threads cannot serve several callers."""
    if not 1 <= n <= MOST:
        raise ValueError(f"devices: n must be from 1 to {MOST}, not {n}")
    _check_threading_layer()
    _names[:] = [f"cpu:{i}" for i in range(n)]
    for i, name in enumerate(_names):
        cores = _cores()
        threads = max(1, cores // n + (i < cores % n))
        if name in _made:
            _made[name].threads = threads
        else:
            _made[name] = CpuPart(name, threads)
    return list(_names)


def cpu_part(index: int) -> CpuPart:
    """``cpu:index``.  Who names one before :func:`split` was called gets two, or as many as that needs."""
    if not _names and index < MOST:
        split(max(2, index + 1))
    if index >= len(_names):
        raise ValueError(f"device: there is no device 'cpu:{index}' here, only {', '.join(_names) or 'cpu'}; "
                         f"tinyconv.devices('cpu', n) shares out the cores among n, at most {MOST}")
    return _made[_names[index]]


def names() -> list[str]:
    """Of the devices into which the cores are split now; none before anybody asked for one."""
    return list(_names)


def known() -> list[CpuPart]:
    """All that were ever made, for somebody may still use one of an earlier split."""
    return list(_made.values())


def _again(name: str) -> Device:
    return _made[name] if name in _made else find_device(name)


class CpuPart(Device):
    """Some of the cores, and a queue."""

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(name, channels_last=True)
        self.threads = threads
        self._staging, self._scratch = Pool(), Pool()
        self._readers = Readers(self.shares_memory)
        self._worker = Worker(name)
        self._uploads: deque[Event] = deque()  # of large arrays that may not have been read yet
        self._blocking = os.environ.get("TINYCONV_BLOCKING") == "1"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.name,)  # one of an earlier split, too

    def launch(self, kernel: str, *arrays: Array, **options: Any) -> None:
        for read in self._readers.of(may_change(kernel, arrays)):
            self._worker.after(read, heed=False)
        self._submit(kernel, tuple(map(self._address, arrays)), options, recorder(self.name, kernel, origin))

    def _submit(self, kernel: str, arrays: Sequence[Array], options: dict[str, Any], record: Any) -> None:
        if self._blocking:
            self._job(kernel, arrays, options, None, record)
        else:
            self._worker.submit(partial(self._job, kernel, arrays, options, origin(), record))

    def _job(self, kernel: str, arrays: Sequence[Array], options: dict[str, Any], where: Origin | None,
             record: Any) -> None:
        """What the worker does of a launch: all of it, for how much scratch a kernel needs may depend on how many
        threads run it."""
        import numba

        before, begin = numba.get_num_threads(), perf_counter()
        numba.set_num_threads(self.threads)
        try:
            self._run(kernel, arrays, options, where)
        finally:
            numba.set_num_threads(before)
        if record:
            record(begin, perf_counter())

    def mark(self) -> Event:
        """An event behind all that was launched so far."""
        if not self._blocking:
            return self._worker.mark()
        event = Event()
        event.happen()
        return event

    def _address(self, array: Any) -> Any:
        """The same memory, seen by an array that does not keep its block from being lent again."""
        loan = borrowed_from(array)
        return array if loan is None or loan.pool is not self.pool else loan.view(array)

    def synchronize(self) -> None:
        self._worker.wait()
        self._readers.let_go()

    def upload(self, array: np.ndarray, plain: bool = False) -> Array:
        """What comes from :meth:`staging` is read where it lies; of anything else a copy is made at once."""
        host = np.asarray(array)
        loan = borrowed_from(host)
        if loan is None or loan.pool is not self._staging:
            order, back = memory_order(host)  # as it lies: that is quickest
            snapshot = self.staging(host.transpose(order).shape, host.dtype).transpose(back)
            np.copyto(snapshot, host)
            host = snapshot
        result = self.copy(host, plain)
        if host.nbytes > _LARGE:  # launches ahead cost nothing, but batches do
            self._uploads.append(self.mark())
            if len(self._uploads) > _UPLOADS:
                self._uploads.popleft().wait()
        return result

    def staging(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Host memory that is read when its turn comes.  So what was uploaded from it must be left alone; the loader
        takes a new array for each batch, and gets the memory again once it was read."""
        return self._staging.empty(shape, dtype)

    def fetch(self, array: Array, source: Device, into: Array | None = None) -> Array:
        result = self.empty(array.shape, array.dtype) if into is None else into
        if isinstance(source, CpuPart):
            ready = source.mark()
            self._worker.after(ready)
            record = recorder(self.name, "copy", origin, source.name, array.nbytes, lambda: ready.time)
            self._submit("elementwise.copy", (source._address(array), self._address(result)), {}, record)
            source._readers.add(self.mark(), array)
        else:
            self.launch("elementwise.copy", source.download(array), result)
        return result

    def dlpack(self, array: Array, **options: Any) -> Any:
        self.synchronize()
        return array.__dlpack__(**options)


def _cores() -> int:
    import numba

    return int(numba.config.NUMBA_NUM_THREADS)


def _check_threading_layer() -> None:
    """Numba's workqueue ends the whole process when two threads call it at the same time."""
    import numba

    from .kernels.elementwise.cpu import _fill

    _fill(np.zeros(1, np.float32), np.float32(0))  # which layer it is, is known after the first parallel loop
    if (layer := numba.threading_layer()) == "workqueue":
        raise RuntimeError(f"device: cpu:0, cpu:1 ... need a threading layer of Numba that serves several callers, but "
                           f"{layer!r} is all that was found; install tbb (pip install tbb) or an OpenMP runtime, and "
                           "unset NUMBA_THREADING_LAYER")
