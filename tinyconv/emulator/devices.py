"""The emulated devices, and which of them is current in this thread."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from . import limits, settings
from .errors import CUDARuntimeError
from .queues import Queue, host_waits_for


class State:
    """What a device is, behind the handles that name it."""

    def __init__(self, index: int) -> None:
        self.id = index
        self.queues: list[Queue] = []
        self.legacy = Queue(index, self.queues, legacy=True)
        self.peers: set[int] = set()  # devices whose memory this one may touch


@cache
def _state(index: int) -> State:
    return State(index)


def state(index: int) -> State:
    """The device number ``index``; an error that says how many there are."""
    count = settings.device_count()
    if not 0 <= index < count:
        raise CUDARuntimeError("cudaErrorInvalidDevice", f"there is no device {index}: {count} are emulated; set "
                               "TINYCONV_EMULATED_DEVICES for more")
    return _state(index)


class _Current(threading.local):
    device = 0


_current = _Current()


def current_id() -> int:
    return _current.device


class Device:
    """``cupy.cuda.Device``: names a device, and makes it the current one within a ``with``."""

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current_id() if device is None else int(device)
        self._outer: list[int] = []
        state(self.id)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        self._outer.append(current_id())
        return self.use()

    def __exit__(self, *_: object) -> None:
        _current.device = self._outer.pop()

    def use(self) -> Device:
        _current.device = self.id
        return self

    def synchronize(self) -> None:
        """Wait for all streams of the device."""
        for queue in list(state(self.id).queues):
            host_waits_for(queue.now())

    @property
    def compute_capability(self) -> str:
        return str(settings.current().arch)

    @property
    def mem_info(self) -> tuple[int, int]:
        """Bytes free and in all."""
        from .blocks import lent  # late: blocks stand on devices, and this line only asks back
        return limits.MEMORY - sum(block.capacity for block in lent(self.id)), limits.MEMORY

    @property
    def attributes(self) -> dict[str, Any]:
        it = limits.properties(settings.current().arch)
        return {
            "MultiProcessorCount": it["multiProcessorCount"], "WarpSize": it["warpSize"],
            "MaxThreadsPerBlock": it["maxThreadsPerBlock"], "MaxSharedMemoryPerBlock": it["sharedMemPerBlock"],
            "MaxSharedMemoryPerBlockOptin": it["sharedMemPerBlockOptin"], "L2CacheSize": it["l2CacheSize"],
        }
