"""What one sees while it runs: bars on a terminal, lines elsewhere."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tinyconv.training.evaluation import Result
from tinyconv.training.progress import Progress

PROGRAM = """
from tinyconv.training.evaluation import Result
from tinyconv.training.progress import Progress
with Progress("epoch 2/4", 100, 20, 1, run=(1, 4, 0.25)) as progress:
    progress.update(Result(60, 30.0, 15, 45), 0.01, 0.125)
    progress.say("a remark")
    progress.update(Result(100, 40.0, 50, 75), 0.01, 0.125)
"""


def seen_on_a_terminal():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))  # rows and columns
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=slave, stdout=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # Linux's way to tell the end
            break
        if not part:
            break
        seen += part
    os.close(master)
    assert process.wait() == 0
    return seen.decode()


def test_a_terminal_shows_the_epoch_and_the_run():
    seen = seen_on_a_terminal()
    assert "epoch 2/4:  60%" in seen and "60/100" in seen
    assert "loss 0.5000, top-1 25.0 %, top-5 75.0 %, lr 0.01, waiting for data 12 %" in seen
    assert "run: 1.20/4 epochs" in seen and "run: 1.60/4 epochs" in seen and "best top-1 25.0 %" in seen
    assert "a remark" in seen


def test_elsewhere_there_are_lines(capsys):
    with Progress("epoch 1/1", 100, 0, 2, run=(0, 1, None)) as progress:
        progress.update(Result(25, 50.0, 5, 20), 0.01, 0.5)
        progress.update(Result(50, 50.0, 25, 50), 0.01, 0.5)
        progress.say("a remark")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1] == "a remark"
    assert lines[0].startswith("epoch 1/1: 50/100 images, ") and "\r" not in lines[0]
    assert "loss 1.0000, top-1 50.0 %, top-5 100.0 %, lr 0.01, waiting for data 50 %, " in lines[0]


def test_an_evaluation_has_neither_rate_nor_run(capsys):
    with Progress("validation", 10, 0, 1) as progress:
        progress.update(Result(10, 5.0, 5, 10))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("loss 0.5000, top-1 50.0 %, top-5 100.0 %")


@pytest.mark.parametrize("images", [10, 0])
def test_no_image_yet_is_no_division_by_zero(images, capsys):
    with Progress("epoch", 20, images, 1) as progress:
        progress.update(Result(max(images, 1), 1.0, 1, 1))
    assert "images/s" in capsys.readouterr().err
