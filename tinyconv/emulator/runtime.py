"""``cupy.cuda.runtime``: the part of CUDA's runtime interface that tinyconv calls by name."""

from __future__ import annotations

from typing import Any

from . import blocks, devices, limits, memory, settings, streams
from .errors import CUDARuntimeError

__all__ = ["CUDARuntimeError"]

_VERSION = 13000  # CUDA 13.0


def getDeviceCount() -> int:  # noqa: N802  (the names are CUDA's)
    return settings.device_count()


def getDevice() -> int:  # noqa: N802
    return devices.current_id()


def setDevice(device: int) -> None:  # noqa: N802
    devices.Device(device).use()


def deviceSynchronize() -> None:  # noqa: N802
    devices.Device().synchronize()


def driverGetVersion() -> int:  # noqa: N802
    return _VERSION


def runtimeGetVersion() -> int:  # noqa: N802
    return _VERSION


def getDeviceProperties(device: int) -> dict[str, Any]:  # noqa: N802
    devices.state(device)
    return limits.properties(settings.current().arch)


def memGetInfo() -> tuple[int, int]:  # noqa: N802
    return devices.Device().mem_info


def deviceCanAccessPeer(device: int, peer: int) -> int:  # noqa: N802
    return int(devices.state(device) is not devices.state(peer))


def deviceEnablePeerAccess(peer: int) -> None:  # noqa: N802
    """The current device may touch the memory of ``peer`` from now on."""
    state = devices.state(devices.current_id())
    if devices.state(peer) is state:
        raise CUDARuntimeError("cudaErrorInvalidDevice", f"device {peer} is the current device itself")
    if peer in state.peers:
        raise CUDARuntimeError("cudaErrorPeerAccessAlreadyEnabled", f"device {state.id} already has access to {peer}")
    state.peers.add(peer)


def memcpyPeerAsync(dst: int, dstDevice: int, src: int, srcDevice: int, size: int, stream: int) -> None:  # noqa: N802
    """Copy between two devices.  Works without peer access, too (by way of the host)."""
    memory.copy(_block(dst, dstDevice), dst, _block(src, srcDevice), src, size, streams.queue_at(stream))


def _block(address: int, device: int) -> blocks.Block:
    block = blocks.block_at(address, device)
    if block is None:
        raise CUDARuntimeError("cudaErrorInvalidValue", f"no memory of device {device} in use lies at {address:#x}")
    return block
