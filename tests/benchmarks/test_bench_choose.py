"""The rule by which the table of algorithms is made."""

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


def test_nothing_gained_is_no_line() -> None:
    assert choose.limits({(16, 16): 0.5, (16, 64): 0.8, (64, 16): 0.9, (64, 64): 0.99}) == ()


def test_both_ways_are_timed() -> None:
    assert all(choose.ratio("forward", 3, 2, 4, tiles) > 0 for tiles in (8, 16))
