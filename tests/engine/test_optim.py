"""SGD as in the 2012 paper, gradient clipping and the schedules of the learning rate."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.optim import SGD, Plateau, Schedule, clip_grad_norm_, cosine_schedule, step_schedule

from ..closeness import assert_close
from ..layouts import LAYOUTS, place
from ..witness import normal


def _parameter(values: Any, device: str, gradient: Any = None) -> tc.Tensor:
    p = tc.tensor(np.asarray(values), device, requires_grad=True, dtype="float64")
    if gradient is not None:
        p.grad = tc.tensor(np.asarray(gradient), device, dtype="float64")
    return p


def test_two_steps_by_hand(device: str) -> None:
    """v <- 0.5 v - lr (g + 0.1 w);  w <- w + v, with numbers that are exact in decimal."""
    w = _parameter([1.0], device, [2.0])
    optimizer = SGD([w], lr=0.1, momentum=0.5, weight_decay=0.1)
    optimizer.step()
    assert w.item() == pytest.approx(1 - 0.21, rel=1e-14)  # v = -0.1 (2 + 0.1)
    optimizer.lr = 0.01
    optimizer.step()
    v = -0.5 * 0.21 - 0.01 * (2 + 0.079)  # what moves already keeps its speed
    assert w.item() == pytest.approx(0.79 + v, rel=1e-14)


def test_defaults_are_those_of_the_paper(device: str) -> None:
    w = _parameter([1.0], device, [0.0])
    SGD([w], lr=1.0).step()
    assert w.item() == pytest.approx(1 - 5e-4, rel=1e-14)
    assert SGD([w], lr=1.0).momentum == 0.9


def _train(steps: int, optimizer: Any, parameter: Any, gradient: Callable[[int], np.ndarray],
           lr: Callable[[int], float], set_lr: Callable[[float], None], wrap: Callable[[np.ndarray], Any]) -> None:
    for i in range(steps):
        set_lr(lr(i))
        parameter.grad = wrap(gradient(i))
        optimizer.step()


@pytest.mark.parametrize("momentum, decay", [(0.9, 5e-4), (0.0, 0.1), (0.5, 0.0)])
@pytest.mark.parametrize("changes", [False, True])
def test_equals_pytorch_as_long_as_lr_stays(device: str, torch: Any, momentum: float, decay: float,
                                            changes: bool) -> None:
    start = normal(1, 3, 4)
    ours, theirs = _parameter(start, device), torch.tensor(start, requires_grad=True)
    sgd = SGD([ours], 0.1, momentum, decay)
    peer = torch.optim.SGD([theirs], 0.1, momentum, weight_decay=decay)

    def lr(i: int) -> float:
        return 0.01 if changes and i >= 5 else 0.1

    def gradient(i: int) -> np.ndarray:
        return normal(i + 10, 3, 4)

    _train(10, sgd, ours, gradient, lr, lambda v: setattr(sgd, "lr", v),
           lambda g: tc.tensor(g, device, dtype="float64"))
    _train(10, peer, theirs, gradient, lr, lambda v: peer.param_groups[0].update(lr=v), torch.tensor)
    if not changes or momentum == 0:
        assert_close(ours.numpy(), theirs.detach().numpy())
    else:  # PyTorch applies the new lr to the old momentum: it brakes at once, the paper's rule coasts on
        assert np.abs(ours.numpy() - theirs.detach().numpy()).max() > 1e-2
        v, w = np.zeros((3, 4)), start.copy()
        for i in range(10):
            v = momentum * v - lr(i) * (gradient(i) + decay * w)
            w = w + v
        assert_close(ours.numpy(), w)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_weight_and_gradient(device: str, layout: str) -> None:
    """A 4-D leaf that is no Parameter lies channels-last on the CPU, its velocity does not."""
    weight, gradient = normal(1, 2, 3, 4, 5), normal(2, 2, 3, 4, 5)
    for other in LAYOUTS:
        w = place(weight, device, layout)
        w.grad = place(gradient, device, other, requires_grad=False)
        optimizer = SGD([w], lr=0.1, momentum=0.5, weight_decay=0.1)
        optimizer.step()
        optimizer.step()
        v = -0.1 * (gradient + 0.1 * weight)
        once = weight + v
        assert_close(w.numpy(), once + 0.5 * v - 0.1 * (gradient + 0.1 * once))
        assert clip_grad_norm_([w], 1e9) == pytest.approx(float(np.sqrt((gradient ** 2).sum())), rel=1e-12)


def test_groups_have_their_own_rates_and_decays(device: str) -> None:
    """As Caffe's lr_mult 2 and decay_mult 0 for biases."""
    w, b = _parameter([1.0], device, [1.0]), _parameter([1.0], device, [1.0])
    optimizer = SGD([{"params": [w]}, {"params": [b], "lr": 2.0, "weight_decay": 0.0}], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert w.item() == pytest.approx(1 - 0.1 * 1.5, rel=1e-14) and b.item() == pytest.approx(1 - 0.2, rel=1e-14)


def test_who_has_no_gradient_stays(device: str) -> None:
    w, still = _parameter([1.0], device, [1.0]), _parameter([1.0], device)
    optimizer = SGD([w, still], lr=0.1)
    optimizer.step()
    assert still.item() == 1 and w.item() != 1
    optimizer.zero_grad()
    assert w.grad is None


def test_a_resumed_optimizer_goes_on_as_if_nothing_had_happened(device: str) -> None:
    def fresh() -> tuple[tc.Tensor, SGD]:
        w = _parameter(normal(1, 3), device, normal(2, 3))
        return w, SGD([w], lr=0.1)

    w, optimizer = fresh()
    optimizer.step()
    optimizer.lr = 0.05
    state, weights = optimizer.state_dict(), w.numpy()
    optimizer.step()
    resumed, other = fresh()
    resumed.copy_(weights)
    other.load_state_dict(state)
    other.step()
    np.testing.assert_array_equal(resumed.numpy(), w.numpy())
    with pytest.raises(ValueError, match="SGD: these velocities belong to other parameters"):
        SGD([_parameter(np.ones(4), device)], lr=0.1).load_state_dict(state)


def test_velocities_go_by_their_numbers() -> None:
    """Whatever order a file kept them in: "10" comes before "2" for one that sorts."""
    optimizer = SGD([_parameter([float(i)], "cpu") for i in range(12)], lr=0.1)
    velocity = {str(i): np.array([10.0 + i]) for i in range(12)}
    optimizer.load_state_dict({"velocity": dict(sorted(velocity.items())), "lr": 0})
    assert [v.numpy().item() for v in optimizer.velocity[0]] == [10.0 + i for i in range(12)] and optimizer.lr == 0


@pytest.mark.parametrize("state, message", [
    ({"velocity": {"0": np.ones(1)}}, "SGD: a state has lr and velocity, but not velocity"),
    ({}, "SGD: a state has lr and velocity, but not nothing"),
    ({"lr": -1, "velocity": {"0": np.ones(1)}}, "SGD: lr must be at least 0, not -1"),
    ({"lr": 1, "velocity": {"1": np.ones(1)}}, "these velocities belong to other parameters")])
def test_a_bad_state_changes_nothing(state: dict[str, Any], message: str) -> None:
    optimizer = SGD([_parameter([1.0], "cpu")], lr=0.1)
    before = optimizer.velocity
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.velocity is before and optimizer.lr == 0.1


@pytest.mark.parametrize("options, message", [
    ({"lr": 0}, "SGD: lr must be greater than 0, not 0"), ({"lr": -1}, "lr must be greater than 0, not -1"),
    ({"lr": math.nan}, "lr must be finite, not nan"), ({"lr": math.inf}, "not inf"),
    ({"lr": 1, "momentum": 1.0}, "SGD: momentum must be at least 0 and less than 1, not 1.0"),
    ({"lr": 1, "momentum": -0.1}, "momentum must be .* not -0.1"),
    ({"lr": 1, "weight_decay": -1}, "SGD: weight_decay must be at least 0, not -1")])
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD([_parameter([1.0], "cpu")], **options)


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match="SGD: there are no parameters to train"):
        SGD([], lr=1)
    with pytest.raises(TypeError, match="SGD: params must be tensors that require a gradient, not ndarray"):
        SGD([np.ones(3)], lr=1)
    with pytest.raises(TypeError, match="SGD: params must be tensors that require a gradient"):
        SGD([tc.tensor([1.0])], lr=1)
    with pytest.raises(TypeError, match=r"params of a group must be a list of tensors, not one tensor; use \[tensor\]"):
        SGD([{"params": _parameter([1.0, 2.0], "cpu")}], lr=1)


def test_clipping_by_hand(device: str) -> None:
    """Gradients (3, 0) and (0, 4) have the joint norm 5."""
    a, b = _parameter([1.0, 1.0], device, [3.0, 0.0]), _parameter([[1.0, 1.0]], device, [[0.0, 4.0]])
    none = _parameter([1.0], device)
    assert clip_grad_norm_([a, b, none], 6.0) == 5
    np.testing.assert_array_equal(a.grad.numpy(), [3, 0])
    assert clip_grad_norm_([a, b, none], 2.5) == 5
    np.testing.assert_allclose(a.grad.numpy(), [1.5, 0], rtol=1e-15)
    np.testing.assert_allclose(b.grad.numpy(), [[0, 2]], rtol=1e-15)
    with pytest.raises(ValueError, match="clip_grad_norm_: max_norm must be greater than 0, not 0"):
        clip_grad_norm_([a], 0)


def test_clipping_agrees_with_pytorch(device: str, torch: Any) -> None:
    """Large enough for several of the kernel's runs, in float32; the sums are in double precision on both sides of
    1e-6."""
    gradient = normal(1, 300, 700).astype(np.float32)
    p, t = tc.tensor(gradient, device, requires_grad=True), torch.tensor(gradient, requires_grad=True)
    p.grad, t.grad = tc.tensor(gradient, device), torch.tensor(gradient)
    assert clip_grad_norm_([p], 3.0) == pytest.approx(float(torch.nn.utils.clip_grad_norm_([t], 3.0)), rel=1e-5)
    assert_close(p.grad.numpy(), t.grad.numpy(), tol=1e-5)


def _rates(make: Callable[[SGD], Schedule], at: list[float], base: float = 2.0) -> list[float]:
    optimizer = SGD([_parameter([1.0], "cpu")], lr=base)
    schedule = make(optimizer)
    rates = [schedule.batch(int(done), done - int(done)) for done in at]
    assert optimizer.lr == rates[-1]
    return rates


def test_step_schedule() -> None:
    rates = _rates(lambda o: step_schedule(o, every=30), [0, 29.99, 30, 59.5, 60, 90])
    assert rates == pytest.approx([2, 2, 0.2, 0.2, 0.02, 0.002], rel=1e-12)
    assert _rates(lambda o: step_schedule(o, 0.5, gamma=0.5), [0.25, 0.5, 1.0]) == pytest.approx([2, 1, 0.5], rel=1e-12)


def test_cosine_schedule() -> None:
    rates = _rates(lambda o: cosine_schedule(o, epochs=12), [0, 4, 6, 8, 12, 13])
    assert rates == pytest.approx([2, 1.5, 1, 0.5, 0, 0], abs=1e-12)


def test_warm_up_rises_in_a_line_to_what_it_would_be() -> None:
    rates = _rates(lambda o: Schedule(o, warmup=4), [0, 1, 2, 3, 4, 5])
    # the first batch must move, too: a thousandth of an epoch is added
    assert rates == pytest.approx([0, 0.5, 1, 1.5, 2, 2], abs=2e-3) and rates[0] > 0
    both = _rates(lambda o: step_schedule(o, every=2, warmup=4), [3, 5])
    assert both == pytest.approx([2 * 0.75 * 0.1, 2 * 0.01], rel=1e-3)


def test_plateau() -> None:
    """Falls when the metric has not been better for `patience` epochs; three times at most."""
    optimizer = SGD([_parameter([1.0], "cpu")], lr=1.0)
    schedule = Plateau(optimizer, patience=2, threshold=0.01)
    rates = []
    for epoch, metric in enumerate([0.1, 0.2, 0.205, 0.19, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]):
        rates.append(schedule.batch(epoch))
        schedule.epoch_end(metric)
    # after epochs 2 and 3 nothing was better by 0.01; then 0.3 was; then 5 and 6, 7 and 8 were not; then no fall is
    # left
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001], rel=1e-12)


def test_a_resumed_plateau_remembers() -> None:
    def run(schedule: Plateau, metrics: list[float]) -> list[float]:
        for metric in metrics:
            schedule.epoch_end(metric)
        return [schedule.factor(0), schedule.best, schedule.waited]

    first = Plateau(SGD([_parameter([1.0], "cpu")], lr=1.0), patience=3)
    run(first, [0.5, 0.4, 0.4])
    second = Plateau(SGD([_parameter([1.0], "cpu")], lr=7.0), patience=3)
    second.load_state_dict(first.state_dict())
    assert run(second, [0.4]) == run(first, [0.4]) == [pytest.approx(0.1), 0.5, 0]
    assert second.base == 7.0  # given anew with each run, not remembered


@pytest.mark.parametrize("make, message", [
    (lambda o: step_schedule(o, every=0), "step_schedule: every must be greater than 0, not 0"),
    (lambda o: cosine_schedule(o, epochs=-1), "cosine_schedule: epochs must be greater than 0, not -1"),
    (lambda o: Plateau(o, patience=0), "Plateau: patience must be at least 1, not 0"),
    (lambda o: Plateau(o, patience=1.5), "Plateau: patience must be an int, not 1.5"),
    (lambda o: Plateau(o, times=-1), "Plateau: times must be at least 0, not -1"),
    (lambda o: Plateau(o, threshold=math.nan), "Plateau: threshold must be finite, not nan"),
    (lambda o: Schedule(o, warmup=-1), "Schedule: warmup must be at least 0, not -1")])
def test_bad_schedules(make: Callable[[SGD], Schedule], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(SGD([_parameter([1.0], "cpu")], lr=1.0))
