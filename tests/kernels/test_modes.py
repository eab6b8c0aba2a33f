"""The tests of convolution, linear layers and networks once more, in every mode that the environment can ask for.

TINYCONV_CONV is read at each call, so the tests that are imported here run with it set.  What a process reads once
(TINYCONV_ISA, the number of threads) takes a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from tinyconv.kernels import isa
from tinyconv.kernels.conv import choice, direct, gradient, pairs, winograd

import tinyconv as tc
import tinyconv.functional as F

from ..nn.test_fusion import test_alexnets_are_the_same, test_values_and_gradients_are_the_same  # noqa: F401
from ..witness import normal
from .launches import LAUNCHES
from .test_conv import (  # noqa: F401
    test_a_batch_that_is_split_into_chunks_is_the_same,
    test_agrees_with_pytorch,
    test_ceil_mode_agrees_with_pytorch_after_padding_by_hand,
    test_gradients_agree_with_finite_differences,
    test_groups_are_separate_convolutions,
)
from .test_launches import test_a_warm_launch_allocates_nothing_large as _allocates_nothing
from .test_launches import test_agrees_with_the_definition as _agrees
from .test_launches import test_any_number_of_threads_gives_the_same_bits as _same_bits

ROOT = Path(__file__).parents[2]
PASSES = "forward", "backward_input", "backward_weight"
CONVOLUTIONS = [name for name in LAUNCHES if name.startswith("conv")]


@pytest.fixture(params=choice.WORDS, scope="module", autouse=True)
def algorithm(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TINYCONV_CONV", request.param)
        yield request.param


@pytest.fixture(scope="module")
def device(algorithm: str) -> str:
    return "cpu"  # the reference has no modes


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_launches(name: str, few_threads: None) -> None:
    _agrees(name, "cpu")
    _allocates_nothing(name, few_threads)
    _same_bits(name, few_threads)


def test_the_environment_chooses(algorithm: str) -> None:
    """Each of the three passes goes where it is told to (pairs have no weight gradient); else this file would prove
    nothing."""
    x, w = (tc.tensor(normal(i, *shape), requires_grad=True) for i, shape in ((1, (1, 16, 6, 6)), (2, (16, 16, 3, 3))))
    calls: list[tuple[str, str]] = []
    with ExitStack() as patches:
        for module in (direct, pairs, winograd):
            patches.enter_context(patch.object(module, "convolve", _noting(calls, module, "convolve")))
        for module in (gradient, winograd):
            patches.enter_context(patch.object(module, "backward_weight", _noting(calls, module, "backward_weight")))
        F.conv2d(x, w).sum().backward()
    made = [{"direct": direct, "pairs": pairs, "winograd": winograd}[algorithm]] * 2
    made.append(winograd if algorithm == "winograd" else gradient)
    assert sorted(calls) == sorted((module.__name__, name) for module, name in zip(made, PASSES, strict=True))
    assert choice.forced() == algorithm


def _noting(calls: list[tuple[str, str]], module: ModuleType, name: str) -> Callable[..., None]:
    kernel = getattr(module, name)

    def noted(*arguments: Any) -> None:
        which = PASSES[arguments[9]] if name == "convolve" else name  # whether backwards
        calls.append((module.__name__, which))
        kernel(*arguments)

    return noted


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


OTHERS = [name for name in isa.ALL if name not in ("avx512", isa.chosen().name)]
FILES = [f"tests/kernels/test_{name}.py" for name in ("tile", "conv", "linear", "launches")]


def _test_with(name: str, which: str) -> None:
    _run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", which, *FILES, TINYCONV_ISA=name)


@pytest.mark.parametrize("name", OTHERS)
def test_another_instruction_set(name: str, algorithm: str) -> None:
    """Vectors of other widths run everywhere: a processor without them does them in pieces."""
    _test_with(name, "cpu and by_hand or groups and cpu or chunks or definition and cpu and (conv or linear)")


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_of_another_instruction_set(name: str, algorithm: str) -> None:
    _test_with(name, "(cpu or test_tile or conv or linear) and not cuda")


STEP = """\
import hashlib, json
import tinyconv as tc
import numba
import numpy as np
import tinyconv.functional as F

digests = {}
for variant in tc.models.VARIANTS:
    for threads in (1, 2, 4):
        numba.set_num_threads(threads)
        tc.manual_seed(1)
        model = tc.models.alexnet(variant, num_classes=10, input_size=67)
        optimizer = tc.optim.SGD(model.parameters(), lr=0.01)
        rng = np.random.default_rng(2)
        x = tc.tensor(rng.standard_normal((5, 3, 67, 67)).astype(np.float32), requires_grad=True)
        loss = F.cross_entropy(model(x), rng.integers(0, 10, 5))
        loss.backward()
        optimizer.step()
        results = [loss.numpy(), x.grad.numpy()]
        results += [a.numpy() for p in model.parameters() for a in (p, p.grad)]
        assert all(np.isfinite(a).all() for a in results)
        digest = hashlib.sha256(b"".join(a.tobytes() for a in results)).hexdigest()
        digests.setdefault(variant, []).append(digest)
print(json.dumps(digests))
"""


def test_a_training_step_has_the_same_bits_for_any_number_of_threads(algorithm: str) -> None:
    """Loss, gradients and new weights of the three AlexNets with 1, 2 and 4 threads, however many cores there are."""
    digests = json.loads(_run("-c", STEP, NUMBA_NUM_THREADS="4", TINYCONV_CONV=algorithm))
    assert sorted(digests) == ["caffe", "paper", "torchvision"]
    for variant, found in digests.items():
        assert len(found) == 3 and len(set(found)) == 1, variant
