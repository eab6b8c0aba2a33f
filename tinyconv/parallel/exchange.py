"""The exchange: how columns of layers on several devices hear of each other's channels."""

from __future__ import annotations

from collections.abc import Sequence

from ..device import Array, Device
from ..device import device as find_device
from ..function import Function
from ..functional import checks
from ..tensor import Tensor


class Exchange(Function):
    """All channels of all columns, in order, on one device that listens.

        forward                                       backward

        column 0 (here)   column 1 (elsewhere)        gradient 0 (here)   gradient 1 (elsewhere)
             |                 |                           ^                   ^
             | copy            | across                    | view              | across
             v                 v                           |                   |
        [ channels of 0 | channels of 1 ]             [ gradient of 0  |  gradient of 1 ]

    Each column goes straight to its place, its own first: by then the others may have come.  A column that several
    devices listen to gets a gradient from each of them, and backward() adds these up, as it does for any tensor that
    is used twice."""

    name = "exchange"
    target: Device

    def _check(self, tensors: Sequence[Tensor]) -> None:
        self.device, self.sources = self.target, [t.device for t in tensors]
        if len({t.dtype for t in tensors}) > 1:
            raise TypeError(f"exchange: columns are {' and '.join(str(t.dtype) for t in tensors)}; use one dtype")

    def forward(self, *columns: Array) -> Array:
        self.sizes = [x.shape[1] for x in columns]
        self.crossings = [(source, self.target, x.nbytes) for source, x in zip(self.sources, columns, strict=True)]
        y = self.target.empty((columns[0].shape[0], sum(self.sizes), *columns[0].shape[2:]), columns[0].dtype)
        parts = zip(self.sources, columns, self._parts(y), strict=True)
        for source, x, part in sorted(parts, key=lambda each: each[0] is not self.target):
            if source is self.target:
                source.launch("elementwise.copy", x, part)
            else:
                self.target.fetch(x, source, into=part)
        return y

    def _parts(self, whole: Array) -> list[Array]:
        ends = [sum(self.sizes[:i + 1]) for i in range(len(self.sizes))]
        return [whole[:, end - size:end] for size, end in zip(self.sizes, ends, strict=True)]

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        return tuple(None if not needed else part if source is self.target else source.fetch(part, self.target)
                     for needed, source, part in zip(self.needs, self.sources, self._parts(gy), strict=True))


def exchange(columns: Sequence[Tensor], devices: Sequence[str | Device]) -> list[Tensor]:
    """For each device the channels of all columns, in order: (N, C0, ...) and (N, C1, ...) to (N, C0 + C1, ...).

    A column lies wherever it was computed; only what lies elsewhere is copied.  Listeners on one device share one
    result.  Raises ValueError if there is no column, or if they differ in more than their channels."""
    if not columns:
        raise ValueError("exchange: needs at least one column")
    checks.any_tensors("exchange", **{f"columns[{i}]": t for i, t in enumerate(columns)})
    for t in columns:
        if t.ndim < 2 or (t.shape[0], t.shape[2:]) != (columns[0].shape[0], columns[0].shape[2:]):
            raise ValueError(f"exchange: columns of shapes {columns[0].shape} and {t.shape} differ in more than their "
                             "channels, axis 1")
    listeners = [find_device(device) for device in devices]
    heard = {device: Exchange(target=device)(*columns) for device in dict.fromkeys(listeners)}
    return [heard[device] for device in listeners]
