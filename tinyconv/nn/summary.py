"""What a network is made of: a table with a line for each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..device import device as find_device
from ..function import Function, topological_order
from ..grad_mode import enable_grad
from ..tensor import Tensor
from .module import Module, Parameter, observers


@dataclass
class Line:
    """One layer.  ``receptive_field``: the pixels (vertical, horizontal) of the input that one output can see."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_accumulates: int
    memory: int  # bytes of the output
    receptive_field: tuple[int, int]
    device: str


@dataclass
class Crossing:
    """What one device sends to another in a training step."""

    source: str
    target: str
    forward: int = 0  # bytes of activations
    backward: int = 0  # bytes of gradients of what went the other way
    inputs: int = 0  # bytes of the input itself, which needs no gradient


@dataclass
class Summary:
    """``str()`` gives the table; the lines and sums are there as numbers, too."""

    input_shape: tuple[int, ...]
    lines: list[Line] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(line.parameters for line in self.lines)

    @property
    def multiply_accumulates(self) -> int:
        return sum(line.multiply_accumulates for line in self.lines)

    @property
    def memory(self) -> int:
        return sum(line.memory for line in self.lines)

    @property
    def exchanged(self) -> int:
        """Bytes that go from device to device in a training step on an input of this shape; without the input."""
        return sum(c.forward + c.backward for c in self.crossings)

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "MACs", "memory", "sees", "device")]
        rows += [(line.name, line.kind, "x".join(map(str, line.output_shape)), f"{line.parameters:,}",
                  f"{line.multiply_accumulates / 1e6:,.1f} M", f"{line.memory / 2 ** 20:,.2f} MiB",
                  "x".join(map(str, line.receptive_field)), line.device) for line in self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(w) if i < 3 or i == 7 else cell.rjust(w)
                           for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
        return "\n".join([*table[:1], "-" * max(map(len, table)), *table[1:], "-" * max(map(len, table)),
                          f"{self.parameters:,} parameters ({self.parameters * 4 / 2 ** 20:,.1f} MiB in float32), "
                          f"{self.multiply_accumulates / 1e6:,.1f} M multiply-accumulates forward, "
                          f"{self.memory / 2 ** 20:,.1f} MiB of layer outputs for an input of {self.input_shape}",
                          *(f"{c.source} -> {c.target} in a training step: {c.forward:,} bytes forward, {c.backward:,} "
                            f"backward" + f", and {c.inputs:,} of the input" * (c.inputs > 0)
                            for c in self.crossings)])


def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Run the model once on zeros of ``input_shape`` (N, C, H, W), in evaluation mode, and note what each layer makes.

    Receptive fields follow the graph of Functions: a window of k pixels sees (k - 1) times the distance between its
    inputs more than one of its inputs does."""
    if len(input_shape) != 4:
        raise ValueError(f"summary: input_shape must be (N, C, H, W), not {tuple(input_shape)}")
    result = Summary(tuple(input_shape))
    names = {id(m): name for name, m in model.named_modules()}
    counted: set[int] = set()
    fields = _Fields()

    def note(layer: Module, y: Tensor) -> None:
        own = [p for p in vars(layer).values() if isinstance(p, Parameter) and id(p) not in counted]
        counted.update(map(id, own))
        if not own and any(layer.children()):
            return  # its layers have lines of their own
        macs = layer.multiply_accumulates(y.shape) if hasattr(layer, "multiply_accumulates") else 0
        result.lines.append(Line(names.get(id(layer), ""), type(layer).__name__, y.shape, sum(p.size for p in own),
                                 macs, math.prod(y.shape) * y.dtype.itemsize, fields.of(y, input_shape),
                                 str(y.device)))

    devices = [p.device for p in model.parameters()]
    device = devices[0] if devices else find_device("cpu")
    x = Tensor(device.upload(np.zeros(input_shape, np.float32)), device, requires_grad=True)
    modes = [(m, m.training) for _, m in model.named_modules()]
    observers.functions.append(note)
    try:
        with enable_grad():
            result.crossings = _crossings(model.eval()(x))
    finally:
        observers.functions.remove(note)
        for m, training in modes:
            m.training = training
    return result


def _crossings(y: Tensor) -> list[Crossing]:
    """Of the graph behind y, by source and target."""
    found: dict[tuple[Any, Any], Crossing] = {}

    def between(source: Any, target: Any) -> Crossing:
        return found.setdefault((source, target), Crossing(str(source), str(target)))

    for function in topological_order(y.creator) if y.creator else []:
        for tensor, (source, target, nbytes) in zip(function.inputs, getattr(function, "crossings", ()), strict=False):
            if source is target or tensor is None:
                continue
            if tensor.creator is None and not isinstance(tensor, Parameter):
                between(source, target).inputs += nbytes
            else:
                between(source, target).forward += nbytes
                between(target, source).backward += nbytes
    return sorted(found.values(), key=lambda c: (c.source, c.target))


class _Fields:
    """The receptive field of tensors, as far as it has been worked out: creator -> (height, width, jump, jump)."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[float, float, float, float]] = {}
        self.kept: list[Function] = []  # so that no id is used again

    def of(self, tensor: Tensor, input_shape: tuple[int, ...]) -> tuple[int, int]:
        height, width, _, _ = self._extent(tensor.creator, input_shape)
        return min(int(height), input_shape[2]), min(int(width), input_shape[3])

    def _extent(self, function: Function | None, input_shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        if function is None:
            return 1, 1, 1, 1
        if id(function) not in self.known:
            before = [self._extent(t.creator, input_shape) for t in function.inputs
                      if t is not None and not (t.creator is None and isinstance(t, Parameter))]
            h, w, jh, jw = (max(column) for column in zip(*before or [(1, 1, 1, 1)], strict=True))
            # Elements that were apart come together: from here on each sees, or soon will, what any of them saw.
            if function.name in ("reshape", "linear", "sum", "max", "matmul"):
                h, w = input_shape[2:]
            (kh, kw), (sh, sw) = getattr(function, "window", ((1, 1), (1, 1)))
            self.known[id(function)] = h + (kh - 1) * jh, w + (kw - 1) * jw, jh * sh, jw * sw
            self.kept.append(function)
        return self.known[id(function)]
