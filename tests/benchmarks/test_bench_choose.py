"""The rule by which the table of algorithms is made."""

from pathlib import Path
from typing import Any

import pytest
from tinyconv.kernels import isa
from tinyconv.kernels.conv.table import WINOGRAD

from benchmarks import choose


def test_the_corner_with_the_most_gain() -> None:
    ratios = {(16, 16): 0.5, (16, 64): 0.8, (64, 16): 0.9, (64, 64): 2.0}
    assert choose.limits(ratios) == ((64, 64),)
    assert choose.limits({**ratios, (64, 16): 1.5}) == ((64, 16),)


def test_two_corners_where_that_gains_more() -> None:
    """Few tiles pay with many channels only."""
    ratios = {(16, 16): 0.5, (16, 64): 1.1, (64, 16): 1.2, (64, 64): 2.0, (16, 8): 0.5, (64, 8): 0.9}
    assert choose.limits(ratios) == ((16, 64), (64, 16))


def test_one_noisy_line_does_not_decide() -> None:
    assert choose.limits({(16, 16): 1.5, (16, 64): 0.98, (64, 16): 1.6, (64, 64): 2.0}) == ((16, 16),)


def test_a_loss_counts_more_than_a_gain() -> None:
    """A layer of 16 channels gains as much with few pixels as it loses with many."""
    assert choose.limits({(16, 16): 1.3, (16, 64): 0.8, (64, 16): 1.4, (64, 64): 2.0}) == ((64, 16),)


def test_nothing_gained_is_no_line() -> None:
    assert choose.limits({(16, 16): 0.5, (16, 64): 0.8, (64, 16): 0.9, (64, 64): 0.99}) == ()


def test_two_and_three_ways_are_timed() -> None:
    """Pairs of lines have no groups."""
    assert all(choose.ratio("forward", 3, groups, 16, pixels) > 0 for groups in (1, 2) for pixels in (8, 16))


def test_only_the_lines_of_the_passes_asked_for_change(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(choose, "write_text", lambda path, text: written.append((path, text)))
    monkeypatch.setattr(choose, "ratio", lambda *layer: 2.0 if layer[3] >= 64 and layer[4] >= 128 else 0.5)
    assert choose.main(["input gradient"]) == 0
    (path, text), = written
    assert path == Path(choose.table_module.__file__)
    table: dict[str, Any] = {}
    exec(text, table)
    changed = {(isa.chosen().name, "input gradient", taps, groups): ((64, 128),)
               for taps in (3, 5) for groups in choose.GROUPS}
    assert table["WINOGRAD"] == {**WINOGRAD, **changed}


def test_a_pass_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        choose.main(["backward"])
    assert "no pass is called backward; use some of forward, inference" in capsys.readouterr().err


@pytest.mark.parametrize("error, status, line", [
    (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
    (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device")])
def test_what_goes_wrong_is_one_line_and_the_table_stays(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int,
        line: str) -> None:
    table = Path(choose.table_module.__file__).read_bytes()

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(choose, "ratio", fail if status == 130 else lambda *_: 2.0)
    monkeypatch.setattr(choose, "write_text", fail)
    assert choose.main(["forward"]) == status
    assert capsys.readouterr().err == line + "\n"
    assert Path(choose.table_module.__file__).read_bytes() == table
