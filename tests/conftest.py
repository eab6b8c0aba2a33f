"""What all tests share: how hard Hypothesis tries, the devices, and PyTorch where it is installed.

CUDA kernels run on the GPU where there is one; elsewhere the emulator runs the same tests (``TINYCONV_CUDA=emulated``),
and where that cannot run either, they skip and say why.

``HYPOTHESIS_PROFILE=ci`` (or CI=true) draws more examples, always the same ones; the default ``dev`` draws few, new
ones each time.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two processes share the cores: threads that spin have what the other's need (``kernels/jit.py``).  The process
    # that started this one has imported tinyconv, and passes on what that sets.
    os.environ["GOMP_SPINCOUNT"] = "0"

import tinyconv as tc
from tinyconv import cuda
from tinyconv.device import known_devices

# No deadline: the first example of a kernel compiles it, which takes seconds.
_common: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=15, **_common)
settings.register_profile("ci", max_examples=45, derandomize=True, print_blob=True, **_common)
settings.register_profile("thorough", max_examples=500, **_common)  # by hand, to hunt for bugs
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "dev"))


def _why_no_cuda() -> str | None:
    """None if tests can run on ``cuda:0``, once the emulator stands in where there is no GPU."""
    if "TINYCONV_CUDA" not in os.environ:
        try:
            cuda.gpu()
        except cuda.CudaUnavailable:
            os.environ["TINYCONV_CUDA"] = "emulated"
    try:
        cuda.backend()
    except cuda.CudaUnavailable as error:
        return str(error)
    return None


WHY_NO_CUDA = _why_no_cuda()
needs_cuda = [pytest.mark.gpu, pytest.mark.skipif(WHY_NO_CUDA is not None, reason=str(WHY_NO_CUDA))]
needs_two_gpus = [*needs_cuda, pytest.mark.skipif(cuda.device_count() == 1, reason="there is one GPU only")]
CUDA = pytest.param("cuda:0", marks=needs_cuda)
DEVICES = ("reference", "cpu", CUDA)


@pytest.fixture(params=DEVICES, scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The test runs once on each device."""
    return request.param


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, the independent witness; the mathematics is also shown without it, so its absence only skips."""
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    """Each test starts from the same seed, whatever ran before it."""
    tc.manual_seed(0)
    yield


@pytest.fixture(autouse=True)
def _nothing_left_in_a_queue() -> Iterator[None]:
    """A launch that fails does so in the test that made it."""
    yield
    for device in known_devices():
        device.synchronize()
