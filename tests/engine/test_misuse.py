"""What a student gets wrong sooner or later is refused, by name; and what looks odd but is right works."""

import copy
import pickle
import signal
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import nn
from tinyconv.memory import ALIGNMENT, Pool
from tinyconv.optim import SGD

from ..witness import normal


class Square(tc.Function):
    name = "square"

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, gy: Any) -> tuple[Any, ...]:
        return (2 * self.saved[0] * gy,)


class Wrong(Square):
    name = "wrong"

    def backward(self, gy: Any) -> tuple[Any, ...]:
        return (np.concatenate([gy, gy]),)


def leaf(values: Any, device: str = "cpu") -> tc.Tensor:
    return tc.tensor(values, device, requires_grad=True, dtype="float64")


def test_a_function_object_serves_one_call() -> None:
    square = Square()
    y = square(leaf([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="square: a Function object is one node"):
        square(y)


def test_a_gradient_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"wrong: backward gave input 0, of shape \(2,\), a gradient of \(4,\)"):
        Wrong()(leaf([1.0, 2.0])).sum().backward()


def test_backward_lets_go_of_the_graph_even_while_the_loss_is_kept(device: str) -> None:
    x = leaf(normal(1, 64, 64), device)
    pool = tc.device(device).pool
    before = pool.lent
    losses = []
    for _ in range(5):
        y = x
        for _ in range(4):
            y = F.relu(y * 2.0)
        losses.append(y.sum())
        del y
        x.grad = None
        losses[-1].backward()
    assert pool.lent - before < 3 * 64 * 64 * 8  # the gradient, not twenty activations


@pytest.mark.parametrize("operand", [None, "3", [None, 1.0]])
def test_only_numbers_combine_with_a_tensor(operand: Any) -> None:
    with pytest.raises(TypeError, match="add: cannot combine a Tensor with"):
        leaf([1.0, 2.0]) + operand
    with pytest.raises(TypeError, match="tensor: cannot hold"):
        tc.tensor(operand, dtype="float32")


def test_python_numbers_and_truth() -> None:
    assert float(leaf(2.5)) == 2.5 and int(leaf(2.5)) == 2
    assert bool(leaf([1.0])) and not bool(leaf([0.0])) and not leaf(0.0)
    with pytest.raises(ValueError, match="2 elements, not 1"):
        bool(leaf([1.0, 2.0]))


@pytest.mark.parametrize("make, message", [
    (lambda w: SGD(w, 0.1), "must be a list of tensors, not one tensor"),
    (lambda w: SGD([w * 2], 0.1), "made by mul is no leaf"),
    (lambda w: SGD([w, w], 0.1), "named twice"),
    (lambda w: SGD([{"params": [w], "momentum": 0.5}], 0.1), "not params, momentum"),
    (lambda w: SGD([{"param": [w]}], 0.1), "a group has params"),
    (lambda w: SGD([{"params": [w], "weight_decay": -5}], 0.1), "weight_decay of a group must be at least 0, not -5"),
    (lambda w: SGD([w], None), "lr must be a number, not None"),
])
def test_sgd_refuses_what_it_could_not_train(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(leaf([[1.0, 2.0]]))


def test_sgd_refuses_the_state_of_more_parameters() -> None:
    a, b = leaf([1.0]), leaf([2.0])
    with pytest.raises(ValueError, match="other parameters"):
        SGD([a], 0.1).load_state_dict(SGD([a, b], 0.1).state_dict())


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, lambda x, axis: F.cat([x, x], axis)])
@pytest.mark.parametrize("axis", [None, (0, 1)])
def test_one_axis_means_one(function: Any, axis: Any) -> None:
    with pytest.raises(TypeError, match="axis must be an int, not"):
        function(leaf([[1.0, 2.0]]), axis=axis)


def test_no_grad_may_be_entered_inside_itself() -> None:
    off = tc.no_grad()
    with off, off:
        assert not tc.is_grad_enabled()
        with tc.enable_grad():
            assert tc.is_grad_enabled()
        assert not tc.is_grad_enabled()
    assert tc.is_grad_enabled()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_models_can_be_copied(duplicate: Any) -> None:
    model = tc.models.alexnet("paper", 3, input_size=63)
    twin = duplicate(model)
    x = tc.tensor(normal(1, 1, 3, 63, 63))
    np.testing.assert_array_equal(twin.eval()(x).numpy(), model.eval()(x).numpy())
    twin.output.bias.copy_(np.ones(3))
    assert not np.array_equal(twin.output.bias.numpy(), model.output.bias.numpy())
    assert twin.output.bias.device is model.output.bias.device


def test_towers_can_be_moved() -> None:
    model = tc.models.alexnet("paper", 3, devices=("reference",), input_size=63).eval()
    x = normal(1, 1, 3, 63, 63)
    expected = model(tc.tensor(x, "reference")).numpy()
    got = model.to("cpu")(tc.tensor(x)).numpy()
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()  # float32 sums in another order


def test_moving_a_model_between_forward_and_backward_is_refused() -> None:
    model = nn.Linear(3, 2)
    loss = model(tc.tensor(np.ones((1, 3)))).sum()
    model.to("reference")
    with pytest.raises(RuntimeError, match="linear: a tensor that backward needs was changed"):
        loss.backward()


def test_containers() -> None:
    net = nn.Sequential({"a": nn.Flatten(), "b": nn.Linear(4, 3), "c": nn.ReLU()})
    part = net[:2]
    assert isinstance(part, nn.Sequential) and list(part.state_dict()) == ["b.weight", "b.bias"]
    assert net[-1] is net.c and nn.ModuleList(list(net))[1] is net.b
    for name in ("train", "forward", "a.b"):
        with pytest.raises(ValueError, match="cannot be the name of a module"):
            nn.Sequential({name: nn.ReLU()})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # those that hit Loan.__del__
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
def test_a_pool_that_is_interrupted_never_lends_too_little() -> None:
    """A signal handler that raises, at any point of the pool's work: the blocks stay as large as what they hold."""

    class Stop(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    pool, rng, interruptions = Pool(), np.random.default_rng(0), 0
    sizes = [2000, 9000, 20000, 50000, 100000]
    before = signal.signal(signal.SIGALRM, stop)
    try:
        while interruptions < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(2e-5, 3e-4)))
                for i in range(1000):
                    held = [pool.empty((sizes[(i * k) % 5],)) for k in (1, 3, 7)]
                    del held
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stop:
                interruptions += 1
            for size in sizes:
                array = pool.empty((size,))
                base = array.base
                while not hasattr(base, "block"):
                    base = base.base
                assert base.block.memory.nbytes >= array.nbytes + ALIGNMENT
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_gradcheck_sees_the_layout_it_was_given(device: str) -> None:
    seen = []

    def f(x: tc.Tensor) -> tc.Tensor:
        seen.append(x.data.strides)
        return x * x

    values = normal(1, 2, 3, 4, 5)
    data = tc.device(device).upload(values, plain=True).transpose(3, 2, 1, 0)
    x = tc.Tensor(data, tc.device(device), requires_grad=True)
    assert tc.gradcheck(f, x)
    assert seen[0] == x.data.strides


def test_gradcheck_refuses_what_is_random_and_passes_on_what_is_no_tensor() -> None:
    x = leaf(normal(1, 4, 8))
    with pytest.raises(ValueError, match="another result each time"):
        tc.gradcheck(lambda x: F.dropout(x, 0.5), x)
    assert tc.gradcheck(F.softmax, x, 1)
    assert tc.gradcheck(F.linear, x, leaf(normal(2, 3, 8)), None)


def test_a_mean_over_a_large_image_is_exact_to_rounding(device: str) -> None:
    """50,176 equal numbers added one by one in float32 would be off by 5e-4."""
    x = tc.tensor(np.full((1, 3, 224, 224), 0.1), device)
    for y in (F.adaptive_avg_pool2d(x, 1), F.avg_pool2d(x, 224), x.mean(axis=(2, 3))):
        assert np.abs(y.numpy() - np.float32(0.1)).max() <= 2e-7 * 0.1 * 2  # two roundings


@pytest.mark.filterwarnings("ignore:overflow")
def test_lrn_of_a_number_whose_square_overflows_is_0(device: str) -> None:
    y = F.local_response_norm(tc.tensor(np.full((1, 3, 1, 1), 2e19), device), 3, alpha=1.0)
    np.testing.assert_array_equal(y.numpy(), np.zeros((1, 3, 1, 1)))


def test_a_power_of_0_is_flat_everywhere(device: str) -> None:
    x = leaf([0.0, 2.0], device)
    F.pow(x, 0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0])
