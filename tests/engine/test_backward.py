"""How gradients flow: every path once, sums in every leaf, and clear refusals."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.function import topological_order

from ..closeness import assert_close
from ..layouts import times
from ..witness import DTYPES, normal


def leaf(values: Any, device: str) -> tc.Tensor:
    return tc.tensor(np.asarray(values, np.float64), device, requires_grad=True, dtype="float64")


class Square(tc.Function):
    """Counts how often it is asked for a gradient."""

    name = "square"

    def forward(self, x: Any) -> Any:
        self.save(x)
        self.calls = 0
        return times(self.device, x, x)

    def backward(self, gy: Any) -> tuple[Any]:
        self.calls += 1
        return (times(self.device, self.saved[0], gy, factor=2),)


def test_diamond(device: str) -> None:
    """a -> b, c -> d = 2a * 3a: the derivative 12a needs both ways.  b's and c's shares meet before they go on to a's
    maker."""
    a = leaf(5.0, device)
    square = Square()
    s = square(a)
    d = (s * 2) * (s * 3)  # 6 a**4
    d.backward()
    assert a.grad.item() == 24 * 5.0 ** 3
    assert square.calls == 1


def test_a_ladder_of_diamonds_takes_a_step_each(device: str) -> None:
    """40 diamonds in a row have 2**40 paths; each node is visited once, and doubling 40 times is exact."""
    a = leaf(1.0, device)
    x = a
    for _ in range(40):
        x = x + x
    x.backward()
    assert a.grad.item() == 2.0 ** 40


def test_order_puts_everyone_after_what_it_needs(device: str) -> None:
    a = leaf(2.0, device)
    b, c = a * 2, a * 3
    d = b * c
    e = d + b
    order = topological_order(e.creator)
    assert order[-1] is e.creator and len(order) == len(set(map(id, order))) == 4
    for function in order:
        for tensor in function.inputs:
            if tensor is not None and tensor.creator is not None:
                assert order.index(tensor.creator) < order.index(function)


def test_a_leaf_used_twice_gets_the_sum(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    (x * x + x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 7])  # 2x + 3


def test_two_backwards_add_up_and_no_grad_starts_anew(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    (x * 2).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4, 6])
    x.grad = None
    (x * 5).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 5])


def test_backward_of_a_leaf(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    x.backward([3.0, 4.0])
    x.backward([1.0, 1.0])
    np.testing.assert_array_equal(x.grad.numpy(), [4, 5])


class Twice(tc.Function):
    """Hands one and the same array to both of its inputs, as a student's Function might."""

    name = "twice"

    def forward(self, a: Any, b: Any) -> Any:
        y = self.device.empty(a.shape, a.dtype)
        self.device.launch("elementwise.add", a, b, y)
        return y

    def backward(self, gy: Any) -> tuple[Any, Any]:
        g = self.device.copy(gy)
        return g, g


@pytest.mark.parametrize("join", [
    lambda a, b: a + b,
    lambda a, b: F.cat([a, b]),
    lambda a, b: a.reshape(3, 2).reshape(2, 3) + b.permute(1, 0).permute(1, 0),
    lambda a, b: a[:, :] + b[0:2],
    lambda a, b: F.flatten(a) + F.flatten(b),
    lambda a, b: Twice()(a, b),
])
def test_gradients_never_share_memory(device: str, join: Any) -> None:
    """Adding to one gradient must not change another, nor what the caller passed in."""
    a, b = leaf(normal(1, 2, 3), device), leaf(normal(2, 2, 3), device)
    y = join(a, b)
    cotangent = np.ones(y.shape)
    y.backward(cotangent)
    assert not a.device.shares_memory(a.grad.data, b.grad.data)
    a.grad.copy_(np.full((2, 3), 100))
    np.testing.assert_array_equal(b.grad.numpy(), np.ones((2, 3)))
    join(a, b).backward(cotangent)
    np.testing.assert_array_equal(a.grad.numpy(), np.full((2, 3), 101))
    np.testing.assert_array_equal(b.grad.numpy(), np.full((2, 3), 2))
    np.testing.assert_array_equal(cotangent, np.ones(y.shape))


def test_the_cotangent_is_copied(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    cotangent = np.array([3.0, 4.0])
    x.backward(cotangent)
    cotangent[:] = 0
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4])


def test_ten_thousand_layers(device: str) -> None:
    """Far beyond Python's recursion limit: walking the graph, and letting go of it."""
    x = leaf([1.0, -1.0], device)
    y, watched = x, None
    for i in range(10_000):
        y = y + 1.0
        if i == 5000:
            watched = weakref.ref(y.creator)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(y.numpy(), [10_001, 9_999])
    del y
    gc.collect()
    assert watched is not None and watched() is None, "the graph is still there"


def test_a_graph_goes_without_the_garbage_collector(device: str) -> None:
    """No reference cycles: activations are free the moment the loss goes out of scope, not when Python gets round to
    it."""
    x = leaf([1.0, -1.0], device)
    y = F.relu(x * 2)
    watched = weakref.ref(y.creator)
    gc.disable()
    try:
        y.sum().backward()
        del y
        assert watched() is None
    finally:
        gc.enable()


def test_backward_frees_what_it_kept(device: str) -> None:
    y = leaf([1.0, 2.0], device) * leaf([3.0, 4.0], device)
    z = y.sum()
    assert len(y.creator.saved) == 2
    z.backward()
    assert y.creator.saved == ()


def test_a_second_backward_is_refused(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * x
    z = y.sum()
    z.backward()
    with pytest.raises(RuntimeError, match="sum: backward has been here and freed"):
        z.backward()
    with pytest.raises(RuntimeError, match="mul: backward has been here and freed"):
        (y * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def test_without_a_graph(device: str) -> None:
    with pytest.raises(RuntimeError, match="backward: this tensor does not require a gradient"):
        tc.tensor([1.0], device).backward()


def test_a_wrong_gradient(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    with pytest.raises(ValueError, match=r"backward: a tensor of shape \(2,\) is no scalar; pass gradient="):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"backward: gradient has shape \(3,\), but the tensor has \(2,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(ValueError, match=r"backward: gradient has shape \(\), but"):
        (x * 2).backward(1.0)
    assert x.grad is None


# name -> (a function of x and w that gives the result and the tensor to change, whether backward reads that tensor)
IN_PLACE: dict[str, tuple[Any, bool]] = {
    "an input of mul": (lambda x, w: (x * w, x), True),
    "the other input of mul": (lambda x, w: (x * w, w), True),
    "the result of mul": (lambda x, w: (y := x * w, y), False),
    "an input of add": (lambda x, w: (x + w, x), False),
    "the result of exp": (lambda x, w: (y := F.exp(x), y), True),
    "the input of exp": (lambda x, w: (F.exp(x), x), False),
    "the input of log": (lambda x, w: (F.log(x), x), True),
    "the result of relu": (lambda x, w: (y := F.relu(x), y), True),
    "the input of relu": (lambda x, w: (F.relu(x), x), False),
    "the result of softmax": (lambda x, w: (y := F.softmax(x), y), True),
    "the result of softmax on axis 0": (lambda x, w: (y := F.softmax(x, axis=0), y), True),
    "the input of softmax": (lambda x, w: (F.softmax(x), x), False),
    "the result of max": (lambda x, w: (y := x.max(axis=1), y), True),
    "the input of linear": (lambda x, w: (F.linear(x, w), x), True),
    "the weight of linear": (lambda x, w: (F.linear(x, w), w), True),
    "the result of linear": (lambda x, w: (y := F.linear(x, w), y), False),
    "what a view of it was saved from": (lambda x, w: (x[0:2] * w, x), True),
    "a view of what was saved": (lambda x, w: (x * w, x[0:1]), True),
    "a reshaped view of what was saved": (lambda x, w: (x * w, x.reshape(6)), True),
    "a detached twin of what was saved": (lambda x, w: (x * w, x.detach()), True),
    "the input of pool, which keeps places": (lambda x, w: (F.max_pool2d(x.reshape(1, 1, 2, 3), 2), x), False),
}


@pytest.mark.parametrize("what", IN_PLACE)
def test_a_change_in_place_of_what_backward_reads_is_refused(device: str, what: str) -> None:
    build, read = IN_PLACE[what]
    x, w = leaf(np.abs(normal(1, 2, 3)) + 1, device), leaf(normal(2, 2, 3), device)
    y, changed = build(x, w)
    changed.copy_(np.zeros(changed.shape))
    if read:
        with pytest.raises(RuntimeError, match="a tensor that backward needs was changed in place"):
            y.backward(np.ones(y.shape))
        assert x.grad is None
    else:
        y.backward(np.ones(y.shape))
        assert np.abs(x.grad.numpy()).max() > 0


def test_an_optimizer_step_counts_as_a_change(device: str) -> None:
    w = leaf([[1.0, 2.0]], device)
    y = F.linear(leaf([[3.0, 4.0]], device), w)
    w.grad = tc.tensor([[1.0, 1.0]], device, dtype="float64")
    tc.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="linear: a tensor that backward needs was changed in place"):
        y.sum().backward()


def test_branches_that_need_no_gradient_get_none(device: str) -> None:
    x, fixed = leaf([1.0, 2.0], device), tc.tensor([3.0, 4.0], device, dtype="float64")
    y = x * fixed + fixed * fixed
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4])
    assert fixed.grad is None


def test_two_losses_from_one_trunk(device: str) -> None:
    """As GoogLeNet's: the sum of the losses goes back once."""
    x = leaf([2.0], device)
    trunk = x * x
    (trunk * 3.0 + F.exp(trunk * 0.0)).sum().backward()
    assert x.grad.item() == 12


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """A random graph: each step applies an operation to two earlier results, often to the same ones."""
    steps = draw(st.integers(1, 12))
    return [(draw(st.sampled_from(["add", "sub", "mul", "div", "relu", "exp", "matmul", "reuse"])),
             draw(st.integers(0, 2 + i)), draw(st.integers(0, 2 + i))) for i in range(steps)]


def _run(program: list[tuple[str, int, int]], values: list[Any], relu: Any, exp: Any) -> Any:
    values = list(values)
    operations = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b * 0.5,
        "div": lambda a, b: a / (b * b + 1.0), "relu": lambda a, b: relu(a), "exp": lambda a, b: exp(a * 0.1 - 1.0),
        "matmul": lambda a, b: (a @ b) * 0.2, "reuse": lambda a, b: a + a}
    for name, i, j in program:
        values.append(operations[name](values[i], values[j]))
        values[-1] = values[-1] / ((values[-1] * values[-1]).mean() + 1.0)  # keeps numbers of about 1
    return values[-1] + values[len(values) // 2]


@given(program=programs())
def test_random_graphs_agree_with_pytorch(device: str, torch: Any, program: list[tuple[str, int, int]]) -> None:
    arrays = [normal(i, 3, 3).astype(DTYPES[device]) for i in range(3)]
    xs = [tc.tensor(a, device, requires_grad=True, dtype=a.dtype) for a in arrays]
    ts = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    y, t = _run(program, xs, F.relu, F.exp), _run(program, ts, torch.relu, torch.exp)
    # A chain of up to 12 operations loses a little more than one does; 1e-3 in float32 is still far below any mistake.
    tol = 1e-9 if DTYPES[device] is np.float64 else 1e-3
    assert_close(y.numpy(), t.detach().numpy(), tol)
    if not y.requires_grad:
        return
    cotangent = normal(9, 3, 3)
    y.backward(cotangent)
    t.backward(torch.tensor(cotangent.astype(DTYPES[device]).astype(np.float64)))
    scale = max(float(u.grad.abs().max()) for u in ts if u.grad is not None)
    for x, u in zip(xs, ts, strict=True):
        assert (x.grad is None) == (u.grad is None)
        if x.grad is not None:  # of the largest of all gradients: one alone may have cancelled to almost nothing
            assert np.abs(x.grad.numpy() - u.grad.numpy()).max() <= tol * scale


def test_across_devices() -> None:
    """There and back: the gradient arrives where the leaf is."""
    x = leaf([1.0, 2.0], "cpu")
    there = (x * 2.0).to("reference")
    assert there.device is tc.device("reference")
    back = (there * leaf([3.0, 4.0], "reference")).to("cpu")
    assert back.device is tc.device("cpu")
    (back + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [7, 9])
    assert x.grad.device is tc.device("cpu")


def test_a_backward_that_failed_half_way_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients that it had added already would count twice."""
    x, w, b = (tc.tensor(normal(i, *shape), requires_grad=True) for i, shape in enumerate([(2, 3), (4, 3), (4,)]))
    y, accumulate = F.linear(x, w, b), tc.Tensor.accumulate_grad

    def all_but_the_last(tensor: tc.Tensor, *arguments: Any, **options: Any) -> None:
        if tensor is b:
            raise MemoryError
        accumulate(tensor, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(tc.Tensor, "accumulate_grad", all_but_the_last)
        with pytest.raises(MemoryError):
            y.backward(np.ones(y.shape))
    with pytest.raises(RuntimeError, match="linear: backward has been here"):
        y.backward(np.ones(y.shape))
