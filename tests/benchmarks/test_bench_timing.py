"""The turns of the timed sides, by a clock that the test moves.  Nothing here depends on how fast the machine is."""

from benchmarks.timing import Effort, Sample, Timing, choose, interleave, take_turn


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

    def side(self, name, seconds):
        return lambda: take_turn(self.worker(name, seconds), 0.0, seconds, self)


def test_the_sides_take_turns():
    clock = Clock()
    timings = interleave({"a": clock.side("a", 3.0), "b": clock.side("b", 5.0)}, Effort(3, 0.0))
    assert "".join(clock.log) == "ab" * 3
    assert timings["a"].seconds == (3.0, 3.0, 3.0) and timings["b"].seconds == (5.0, 5.0, 5.0)


def test_short_calls_settle_first_and_go_on_for_their_time():
    clock = Clock()
    sample = take_turn(clock.worker("a", 0.03125), 0.25, 0.03125, clock)
    assert len(clock.log) == 2 + 8 and (sample.seconds, sample.turn) == (0.03125, 0.25)


def test_what_others_used_is_the_difference_over_the_turn():
    counts = iter([7.0, 7.5])
    clock = Clock()
    assert take_turn(clock.worker("a", 1.0), 0.5, 1.0, clock, lambda: next(counts)).foreign == 0.5


def test_disturbed_samples_are_dropped_while_enough_are_left():
    quiet, loud = Sample(1.0, 1.0, 0.02), Sample(9.0, 1.0, 0.5)
    assert loud.disturbed and not quiet.disturbed
    assert not Sample(1e-3, 0.02, 0.01).disturbed  # one tick of the system's count in a short turn says nothing
    assert choose([quiet, loud, quiet], 2) == Timing((1.0, 1.0), 1)
    louder = Sample(10.0, 1.0, 1.5)
    assert choose([louder, quiet, loud], 2) == Timing((1.0, 9.0), 1, disturbed=True)  # the least disturbed


def test_a_disturbed_round_is_made_up_for_until_patience_ends():
    def timed(*foreign):
        clock, others = Clock(), iter(foreign)

        def take_turn():
            clock.now += 1.0
            return Sample(1.0, 1.0, next(others))

        return interleave({"a": take_turn}, Effort(repeat=2, patience=4.0), clock)["a"]

    assert timed(0.5, 0, 0) == Timing((1.0, 1.0), 1)
    assert timed(0.5, 0.5, 0.5, 0) == Timing((1.0, 1.0), 2, disturbed=True)


def test_the_median_ignores_what_disturbs():
    timing = Timing((1.0, 2.0, 100.0))
    assert (timing.median, timing.best, timing.quartiles) == (2.0, 1.0, (1.5, 51.0))
    assert Timing((4.0,)).quartiles == (4.0, 4.0)
