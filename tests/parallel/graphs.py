"""Random small graphs, spread over devices: what the stress test computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.functional.shape import ToDevice
from tinyconv.parallel import exchange

SHAPE = (2, 8, 9, 9)  # more bytes than the pool leaves to malloc
STEPS = 10


def _copy(x: tc.Tensor, where: Any) -> tc.Tensor:
    """Where x.to() would give x itself, too: so the graph is the same wherever it is, and so is the order of sums."""
    return ToDevice(target=tc.device(where))(x)


class Graph:
    """The graph number ``seed``.  ``places`` are the devices that it uses; what it computes does not depend on them."""

    def __init__(self, seed: int, places: Sequence[str]) -> None:
        self.random = np.random.default_rng(seed)
        self.places = places
        self.weights = [self._leaf((8, 8, 3, 3), 0.2), self._leaf((8, 16, 1, 1), 0.3), self._leaf((8,), 0.1)]
        self.optimizer = tc.optim.SGD(self.weights, lr=0.1)

    def _place(self) -> str:
        """Drawn from three whatever there is, so that all placements draw the same numbers."""
        return self.places[int(self.random.integers(3)) % len(self.places)]

    def _leaf(self, shape: tuple[int, ...], size: float) -> tc.Tensor:
        array = size * self.random.standard_normal(shape)
        return tc.nn.module.Parameter(array.astype(np.float32), self._place())

    def run(self) -> list[np.ndarray]:
        """Two training steps; the loss of each and the weights at the end."""
        results = []
        for _ in range(2):
            for w in self.weights:
                w.grad = None
            loss = self._loss()
            loss.backward()
            self.optimizer.step()
            results.append(loss)
        return [r.numpy() for r in [*results, *self.weights]]

    def _loss(self) -> tc.Tensor:
        live = [tc.tensor(self.random.standard_normal(SHAPE), self._place()) for _ in range(3)]
        for step in range(STEPS):
            live.append(self._step(live, step))
            if len(live) > 4:  # the program lets go of something while the queues are behind
                live.pop(int(self.random.integers(len(live) - 1)))
        where = self._place()
        total = _copy(live[0], where)
        for x in live[1:]:
            total = total + _copy(x, where)
        conv3, _, bias = self.weights
        total = F.conv2d(total, _copy(conv3, where), _copy(bias, where), padding=1)
        return (total * total).mean()

    def _step(self, live: list[tc.Tensor], step: int) -> tc.Tensor:
        a, b = (live[int(i)] for i in self.random.integers(len(live), size=2))
        where, kind = self._place(), int(self.random.integers(9))
        conv3, conv1, bias = self.weights
        a = _copy(a, where)
        if kind == 0:
            return 0.5 * (a + _copy(b, where))
        if kind == 1:
            return _copy(a, where) * 0.9
        if kind in (2, 3):
            return F.relu(F.conv2d(a, _copy(conv3, where), _copy(bias, where), padding=1))
        if kind in (4, 5):  # two columns hear each other, on two devices
            heard = [exchange([a, b], [tc.device(place)])[0] for place in (where, self._place())]
            columns = [F.conv2d(h, _copy(conv1, h.device), _copy(bias, h.device)) for h in heard]
            return 0.5 * (columns[0] + _copy(columns[1], where))
        if kind == 6:
            return F.local_response_norm(F.max_pool2d(a, 3, 1, padding=1), 5, alpha=0.5)
        if kind == 7:
            return F.dropout(a, 0.3, stream=1, step=step)
        return F.cat([a[:, 4:], _copy(b, where)[:, :4]])


def compute(seed: int, places: Sequence[Any]) -> list[np.ndarray]:
    tc.manual_seed(seed)
    return Graph(seed, places).run()
