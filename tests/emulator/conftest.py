"""Tests of the emulator need NVRTC and a C++ compiler; without them they are skipped, with the reason."""

import pytest

from tinyconv.emulator import build


@pytest.fixture(scope="session")
def tools() -> None:
    """Skip the test if kernels cannot be built here."""
    reason = build.unavailable()
    if reason is not None:
        pytest.skip(reason)
