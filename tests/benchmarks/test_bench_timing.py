"""The turns of the timed sides, by a clock that the test moves.  Nothing here depends on how fast the machine is."""

from benchmarks.timing import Effort, Timing, interleave


class Clock:
    """Time passes only when somebody works."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def worker(self, name, seconds):
        def run():
            self.log.append(name)
            self.now += seconds
        return run


def test_the_sides_take_turns_after_a_warm_up():
    clock = Clock()
    timings = interleave({"a": clock.worker("a", 3.0), "b": clock.worker("b", 5.0)}, Effort(0.0, 3, 0.0), clock)
    assert "".join(clock.log) == "ab" + "aabb" * 3  # compile; then in each turn a call to settle and a timed one
    assert timings["a"].seconds == (3.0, 3.0, 3.0) and timings["b"].seconds == (5.0, 5.0, 5.0)


def test_a_turn_goes_on_for_its_time():
    clock = Clock()
    timings = interleave({"a": clock.worker("a", 0.25)}, Effort(budget=0.0, repeat=1, turn=1.0), clock)
    assert len(timings["a"].seconds) == 4


def test_the_budget_buys_more_calls_and_most_is_enough():
    def calls(**effort):
        clock = Clock()
        return len(interleave({"a": clock.worker("a", 1.0)}, Effort(**effort), clock)["a"].seconds)

    assert calls(budget=10.0, repeat=2, turn=0.0) == 5  # each timed call comes with one that is not
    assert calls(budget=10.0, repeat=2, turn=0.0, most=3) == 3
    assert calls(budget=0.0, repeat=7, turn=0.0) == 7


def test_the_median_ignores_what_disturbs():
    timing = Timing((1.0, 2.0, 100.0))
    assert (timing.median, timing.best, timing.quartiles) == (2.0, 1.0, (1.5, 51.0))
    assert Timing((4.0,)).quartiles == (4.0, 4.0)
