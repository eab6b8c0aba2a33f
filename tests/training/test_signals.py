"""Ctrl-C, whenever it comes."""

import io
import signal
import sys

from tinyconv.training.signals import stop_signals


class _Interrupted(io.RawIOBase):
    """What is written to comes with a Ctrl-C."""

    def writable(self):
        return True

    def write(self, data):
        signal.raise_signal(signal.SIGINT)
        return len(data)


def test_ctrl_c_in_the_middle_of_a_line_that_is_printed(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(_Interrupted())))
    with stop_signals() as asked:
        print("First loss", file=sys.stderr, flush=True)
    assert asked == [signal.SIGINT]
    assert "stopping after this batch" in capfd.readouterr().err
