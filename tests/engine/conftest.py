"""Here each test of a device runs on a share of the cores, too, whose launches return before they have run."""

import pytest

from ..conftest import DEVICES


@pytest.fixture(params=(*DEVICES, "cpu:1"), scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.param
