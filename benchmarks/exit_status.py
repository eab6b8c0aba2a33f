"""How those benchmarks end that train networks."""

from __future__ import annotations

from collections.abc import Callable

from tinyconv import commandline
from tinyconv.cuda import CudaUnavailable
from tinyconv.data import SampleError
from tinyconv.training import Interrupted, TrainingError


def exit_status(work: Callable[[], None], *errors: type[Exception]) -> int:
    """Do the work, and return the exit status of the command: what goes wrong in a training, and these errors, are one
    clear line."""
    try:
        return commandline.exit_status(
            work, SampleError, TrainingError, CudaUnavailable, *errors,
            interrupted="the last checkpoint, if there is one, is intact",
            memory="use a smaller --batch, or fewer or smaller photos")
    except Interrupted as stop:
        print(f"{stop}\nThe same command goes on from there.")
        return 130
