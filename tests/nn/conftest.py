"""Here, too, each test of a device runs on a share of the cores."""

from ..engine.conftest import device  # noqa: F401
