"""The errors that CUDA itself reports, under CuPy's names."""

from __future__ import annotations

_STATUS = {
    "cudaErrorInvalidValue": 1, "cudaErrorInvalidDevice": 101, "cudaErrorPeerAccessAlreadyEnabled": 704,
    "cudaErrorInvalidResourceHandle": 400, "cudaErrorNotReady": 600, "cudaErrorIllegalAddress": 700,
    "CUDA_ERROR_INVALID_VALUE": 1, "CUDA_ERROR_NOT_FOUND": 500, "CUDA_ERROR_INVALID_HANDLE": 400,
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": 701,
}


class _Status(RuntimeError):
    """``status`` is CUDA's number; the message is its name, and then, unlike CUDA's, what was wrong and the remedy."""

    def __init__(self, name: str, explanation: str) -> None:
        super().__init__(f"{name}: {explanation}")
        self.status = _STATUS[name]


class CUDARuntimeError(_Status):
    """``cupy.cuda.runtime.CUDARuntimeError``: from devices, memory, streams and events."""


class CUDADriverError(_Status):
    """``cupy.cuda.driver.CUDADriverError``: from launches."""


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""
