"""Two towers: wherever they are, the same weights after twenty steps; and they send each other what the paper says."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F
from tinyconv import cuda
from tinyconv.parallel import Tower, Towers, exchange

from ..closeness import assert_close
from ..conftest import needs_cuda, needs_two_gpus
from ..witness import normal
from .small import train_paper, train_towers

Trained = tuple[list[float], dict[str, np.ndarray]]


def _same_bits(a: Trained, b: Trained) -> None:
    assert a[0] == b[0]
    for name, value in a[1].items():
        assert value.tobytes() == b[1][name].tobytes(), name


@pytest.fixture(scope="module")
def on_a_cpu() -> Trained:
    return train_towers(["cpu", "cpu"])


@pytest.fixture(scope="module")
def paper_on_a_cpu() -> Trained:
    return train_paper(["cpu"])


@pytest.fixture
def _every_check() -> Iterator[None]:
    """Emulated streams are lazy, that is as late as may be; and every access is checked."""
    with ExitStack() as stack:
        if cuda.is_emulated():
            from tinyconv.emulator import checking

            stack.enter_context(checking(order="shuffled", streams="lazy"))
        yield


class TestTwentySteps:
    def test_they_learn(self, on_a_cpu: Trained) -> None:
        """Or else equal weights would say little: no tower is dead, and no weight is where it was."""
        tc.manual_seed(2)
        from .small import towers

        for name, before in towers(["cpu", "cpu"]).state_dict().items():
            assert np.abs(on_a_cpu[1][name] - before).max() > 1e-3, name

    @pytest.mark.parametrize("devices", [["cpu:0", "cpu:0"], ["cpu:0", "cpu:1"], ["cpu:1", "cpu:0"], ["cpu", "cpu:1"]],
                             ids=str)
    def test_on_cpus(self, devices: list[str], on_a_cpu: Trained) -> None:
        _same_bits(train_towers(devices), on_a_cpu)

    @pytest.mark.parametrize("devices", [["cpu", "cpu"], ["cpu:1"], ["cpu:0", "cpu:1"]], ids=str)
    def test_of_the_paper_on_cpus(self, devices: list[str], paper_on_a_cpu: Trained) -> None:
        _same_bits(train_paper(devices), paper_on_a_cpu)


class TestTwentyStepsOnGpus:
    pytestmark = needs_cuda

    def test_on_gpus(self, _every_check: None, on_a_cpu: Trained) -> None:
        one, twice, other = map(train_towers, (["cuda:0", "cuda:0"], ["cuda:0", "cuda:0"], ["cpu:1", "cuda:0"]))
        _same_bits(one, twice)
        if cuda.device_count() > 1:
            _same_bits(one, train_towers(["cuda:0", "cuda:1"]))
        for trained in (one, other):  # across kinds of devices: float32 that is summed in another order
            assert trained[0] == pytest.approx(on_a_cpu[0], rel=1e-4)
            for name, value in trained[1].items():
                assert_close(value, on_a_cpu[1][name], tol=1e-4, what=name)

    @pytest.mark.slow
    def test_of_the_paper_on_gpus(self, paper_on_a_cpu: Trained) -> None:
        one = train_paper(["cuda:0"])
        if cuda.device_count() > 1:
            _same_bits(one, train_paper(["cuda:0", "cuda:1"]))
        for name, value in one[1].items():
            assert_close(value, paper_on_a_cpu[1][name], tol=1e-4, what=name)


class TestExchange:
    FLOATS = 21_632 + 4_608 + 2_048  # into conv3, fc6 and fc7: half of 256x13x13, 256x6x6 and 4096
    OUTPUT = 2_048  # into the output layer, which is on device 0

    def test_what_the_paper_sends(self) -> None:
        model = tc.models.alexnet("paper", devices=("cpu:0", "cpu:1"))
        summary = tc.nn.summary(model, (1, 3, 224, 224))
        there, back = summary.crossings
        assert (there.source, there.target, back.source, back.target) == ("cpu:0", "cpu:1", "cpu:1", "cpu:0")
        assert there.forward == back.backward == 4 * self.FLOATS
        assert there.backward == back.forward == 4 * (self.FLOATS + self.OUTPUT)
        assert (there.inputs, back.inputs) == (4 * 3 * 224 * 224, 0)
        assert summary.exchanged == 8 * (2 * self.FLOATS + self.OUTPUT)
        assert f"cpu:1 -> cpu:0 in a training step: {4 * (self.FLOATS + self.OUTPUT):,} bytes forward" in str(summary)
        with tc.timeline() as timeline:  # and so it is when it runs
            F.cross_entropy(model(tc.tensor(normal(1, 1, 3, 224, 224), "cpu:0")), [7]).backward()
        assert timeline.exchanged() == {(c.source, c.target): c.forward + c.backward + c.inputs for c in (there, back)}
        assert {(s.phase, s.source) for s in timeline.spans if s.source} == {
            (phase, source) for phase in ("forward", "backward") for source in ("cpu:0", "cpu:1")}

    def test_one_device_sends_nothing(self) -> None:
        summary = tc.nn.summary(tc.models.alexnet("paper", 10, ("cpu:0", "cpu:0"), 63), (1, 3, 63, 63))
        assert (summary.crossings, summary.exchanged) == ([], 0) and "->" not in str(summary)

    @pytest.mark.parametrize("devices", [["cpu"], ["cpu:0", "cpu:1"], ["cpu:1", "reference"],
                                         pytest.param(["cuda:0", "cuda:1"], marks=needs_two_gpus),
                                         pytest.param(["cpu", "cuda:0"], marks=needs_cuda)], ids=str)
    @pytest.mark.parametrize("rest", [(3, 5), ()], ids=["images", "vectors"])
    def test_it_is_cat(self, devices: Sequence[str], rest: tuple[int, ...]) -> None:
        """Of three columns, forward and backward, and each listener has a cotangent of its own."""
        arrays = [normal(i, 2, 100 + i, *rest) for i in range(3)]
        places = [tc.device(devices[i % len(devices)]) for i in range(3)]
        listeners = list(dict.fromkeys(places))
        columns = [tc.tensor(a, d, requires_grad=True) for a, d in zip(arrays, places, strict=True)]
        heard = exchange(columns, [*listeners, listeners[0]])
        assert heard[-1] is heard[0]
        sums = np.zeros((2, 303, *rest))
        for i, (y, d) in enumerate(zip(heard, listeners, strict=False)):
            assert y.device is d
            np.testing.assert_array_equal(y.numpy(), np.concatenate(arrays, axis=1).astype(np.float32))
            cotangent = normal(9 + i, 2, 303, *rest).astype(np.float32)
            y.backward(cotangent)
            sums += cotangent
        for column, right in zip(columns, np.split(sums, [100, 201], axis=1), strict=True):
            assert column.grad is not None
            assert_close(column.grad.numpy(), right, tol=1e-6)

    def test_what_nobody_wants_is_not_sent_back(self) -> None:
        a, b = tc.tensor(normal(1, 2, 3), "cpu:0"), tc.tensor(normal(2, 2, 3), "cpu:1", requires_grad=True)
        with tc.timeline() as timeline:
            y = exchange([a, b], [tc.device("cpu:1")])[0].sum()
            y.backward()
        assert timeline.exchanged() == {("cpu:0", "cpu:1"): 24} and a.grad is None

    @pytest.mark.parametrize("shapes, error, message", [
        ([], ValueError, "exchange: needs at least one column"),
        ([(2, 3, 4, 4), (2, 3, 4, 5)], ValueError, r"\(2, 3, 4, 4\) and \(2, 3, 4, 5\) differ in more than their chan"),
        ([(2, 3), (1, 3)], ValueError, "differ in more"), ([(2,), (2,)], ValueError, "differ in more")])
    def test_bad_columns(self, shapes: Any, error: Any, message: str) -> None:
        with pytest.raises(error, match=message):
            exchange([tc.tensor(np.zeros(s)) for s in shapes], [tc.device("cpu")])

    def test_other_bad_input(self) -> None:
        with pytest.raises(TypeError, match="float32 and float64; use one dtype"):
            exchange([tc.tensor(np.zeros((1, 2))), tc.tensor(np.zeros((1, 2)), dtype="float64")], [tc.device("cpu")])
        with pytest.raises(ValueError, match=r"equally many stages, not of \[2, 1\]"):
            Towers([Tower({"a": tc.nn.Sequential(), "b": tc.nn.Sequential()}), Tower({"a": tc.nn.Sequential()})],
                   tc.nn.Flatten())
        with pytest.raises(ValueError, match=r"equally many stages, not of \[\]"):
            Towers([], tc.nn.Flatten())
        with pytest.raises(ValueError, match="without parameters it is on no device"):
            Towers([Tower({"a": tc.nn.Sequential(tc.nn.MaxPool2d(2))})], tc.nn.Flatten())(
                tc.tensor(np.zeros((1, 1, 4, 4), np.float32)))


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return tc.models.alexnet("paper", num_classes=7, input_size=63, init="default").state_dict()


class TestGrouped:
    """The paper's network in the layout of Caffe's."""

    def test_there_and_back(self, state: dict[str, np.ndarray]) -> None:
        grouped = tc.models.to_grouped(state)
        caffe = tc.models.alexnet("caffe", num_classes=7, input_size=67)
        caffe.load_state_dict(grouped)  # names and shapes are its
        back = tc.models.to_towers(caffe.state_dict())
        assert back.keys() == state.keys() and list(back) != []
        for name, value in state.items():
            np.testing.assert_array_equal(back[name], value, err_msg=name)

    def test_it_is_the_same_function(self, state: dict[str, np.ndarray]) -> None:
        """One column with groups, whose LRN looks at each half by itself, agrees with two towers to rounding."""
        w = {name: tc.tensor(value) for name, value in tc.models.to_grouped(state).items()}

        def conv(x: tc.Tensor, name: str, **options: Any) -> tc.Tensor:
            return F.relu(F.conv2d(x, w[f"features.{name}.weight"], w[f"features.{name}.bias"], **options))

        def norm_pool(x: tc.Tensor) -> tc.Tensor:
            half = x.shape[1] // 2
            parts = [F.local_response_norm(part, 5, alpha=5e-4, beta=0.75, k=2) for part in (x[:, :half], x[:, half:])]
            return F.max_pool2d(F.cat(parts), 3, 2, ceil_mode=True)

        x = tc.tensor(20 * normal(3, 2, 3, 63, 63))
        y = norm_pool(conv(x, "conv1", stride=4, ceil_mode=True))
        y = norm_pool(conv(y, "conv2", padding=2, groups=2))
        y = conv(conv(conv(y, "conv3", padding=1), "conv4", padding=1, groups=2), "conv5", padding=1, groups=2)
        y = F.flatten(F.max_pool2d(y, 3, 2, ceil_mode=True))
        for name in ("fc6", "fc7", "fc8"):
            y = F.linear(y, w[f"classifier.{name}.weight"], w[f"classifier.{name}.bias"])
            y = y if name == "fc8" else F.relu(y)
        model = tc.models.alexnet("paper", num_classes=7, input_size=63, devices=("cpu:0", "cpu:1")).eval()
        model.load_state_dict(state)
        assert_close(model(x).numpy(), y.numpy(), tol=1e-5)

    def test_of_another_network(self, state: dict[str, np.ndarray]) -> None:
        with pytest.raises(KeyError, match=r"not the state of alexnet\('paper'\): there is no 'towers.0.lower.conv1"):
            tc.models.to_grouped(tc.models.to_grouped(state))
        with pytest.raises(KeyError, match=r"not the state of alexnet\('caffe'\): there is no 'features.conv1.weight'"):
            tc.models.to_towers(state)
        with pytest.raises(KeyError, match="it has no layer 'more'"):
            tc.models.to_grouped({**state, "more": np.zeros(1)})
        odd = {name: value[1:] for name, value in tc.models.to_grouped(state).items()}
        with pytest.raises(ValueError, match="features.conv1.weight has 95 filters; two towers need an even number"):
            tc.models.to_towers(odd)


def test_a_checkpoint_of_two_devices_goes_on_on_one_and_back(tmp_path: Path) -> None:
    """With all that a checkpoint has: velocities, steps of dropout, position."""
    from ..training import small
    from .small import towers

    def trainer(devices: Sequence[str], out: str) -> Any:
        run = small.trainer(tmp_path / out)
        tc.manual_seed(4)
        run.model = towers(devices)
        run.optimizer = tc.optim.SGD(run.model.parameters(), 0.05)
        run.schedule.optimizer = run.optimizer
        return run

    whole = trainer(["cpu"] * 2, "whole")
    whole.fit(3)
    paths = []
    for epochs, devices in enumerate((["cpu:0", "cpu:1"], ["cpu:1"] * 2, ["cpu:1", "cpu:0"]), start=1):
        run = trainer(devices, f"part {epochs}")
        if paths:
            run.resume(paths[-1])
        run.fit(epochs)
        paths.append(run.checkpoint_path)
    assert small.bits(run) == small.bits(whole) and len(run.history) == 3
