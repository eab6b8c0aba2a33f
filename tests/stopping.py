"""Programs that train, stopped in the middle of it."""

import subprocess
from pathlib import Path


def stop_in_training(command: list[str], how: int, run: int = 1, cwd: Path | None = None) -> tuple[int, str]:
    """Start the command, and send it the signal ``how`` after the first loss of its ``run``-th training; returns the
    exit status and what it printed to stdout."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            run -= "First loss" in line
            if not run:
                break
        process.send_signal(how)
        output, _ = process.communicate(timeout=120)
    return process.returncode, output
