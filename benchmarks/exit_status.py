"""How those benchmarks end that train networks."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tinyconv.cuda import CudaUnavailable
from tinyconv.data import SampleError
from tinyconv.training import Interrupted, TrainingError


def exit_status(work: Callable[[], None], *errors: type[Exception]) -> int:
    """Do the work, and return the exit status of the command: what goes wrong in a training, and these errors, are one
    clear line."""
    try:
        work()
    except Interrupted as stop:
        print(f"{stop}\nThe same command goes on from there.")
        return 130
    except KeyboardInterrupt:
        print("interrupted; the last checkpoint, if there is one, is intact", file=sys.stderr)
        return 130
    except MemoryError:
        print("error: not enough memory; use a smaller --batch, or fewer or smaller photos", file=sys.stderr)
        return 1
    except (SampleError, TrainingError, CudaUnavailable, ValueError, OSError, *errors) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
