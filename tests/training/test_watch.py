"""What the watch says about a loss."""

import math

from tinyconv.training.watch import LossWatch


def test_a_first_loss_of_ln_classes_is_as_it_should_be():
    assert "as it should be" in LossWatch(1000).see(math.log(1000))


def test_a_first_loss_far_off_is_told():
    assert "far from it" in LossWatch(1000).see(20.0)


def test_a_stall_is_told_once_with_causes():
    watch = LossWatch(10, patience=100)
    remarks = [watch.see(math.log(10)) for _ in range(300)]
    assert [i for i, remark in enumerate(remarks) if remark] == [0, 99]
    assert "learning rate" in remarks[99] and "--init" in remarks[99]


def test_a_falling_loss_is_no_stall():
    watch = LossWatch(10, patience=100)
    remarks = [watch.see(math.log(10) * 0.99 ** i) for i in range(300)]
    assert [i for i, remark in enumerate(remarks) if remark] == [0]
