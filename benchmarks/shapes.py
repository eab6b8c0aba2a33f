"""The layers of AlexNet as plain data: what goes in, what comes out, how much work each pass is.

The network is the ``caffe`` variant (bvlc_alexnet: 227-pixel images, groups in conv2, conv4 and conv5).  Layers whose
shape repeats are left out: relu4 is relu3, relu7 is relu6, drop7 is drop6.  All numbers are float32.

A pass costs floating-point operations (``flops``: a multiply-add is two; counted for convolutions and linear layers,
whose time is arithmetic) and memory traffic (``bytes``: each array that the pass must read or write, once; for the
others, whose time is memory).  Both are what the mathematics asks for, not what a kernel happens to do.

Shape letters as everywhere: N images, C channels in, K filters, H x W in, P x Q out, R x S window, G groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from tinyconv.kernels.shapes import output_size

FLOAT = 4  # bytes
FORWARD, INPUT, WEIGHT, UPDATE = "forward", "input gradient", "weight gradient", "update"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer of any kind.  ``x``: the shape of one image's (or row's) input, without N."""

    name: str
    x: Shape
    kind: ClassVar[str] = ""
    passes: ClassVar[tuple[str, ...]] = (FORWARD, INPUT)

    @property
    def y(self) -> Shape:
        """The shape of one image's output."""
        return self.x

    @property
    def parameters(self) -> dict[str, Shape]:
        return {}

    def flops(self, batch: int, which: str) -> int:
        """Floating-point operations of a pass; 0 where memory is what takes the time."""
        return 0

    def bytes(self, batch: int, which: str) -> int:
        """Forward reads x and writes y; backward reads a saved array and gy, and writes gx."""
        x, y = batch * math.prod(self.x), batch * math.prod(self.y)
        return FLOAT * (x + y if which == FORWARD else 2 * y + x)


@dataclass(frozen=True)
class _Weighted(Layer):
    """A layer with weights: three passes of equally many multiply-adds."""

    passes: ClassVar[tuple[str, ...]] = (FORWARD, INPUT, WEIGHT)

    def flops(self, batch: int, which: str) -> int:
        """2 per output element and weight of its filter, in every pass; the bias is not counted."""
        return 2 * batch * math.prod(self.y) * math.prod(self.parameters["weight"][1:])

    def bytes(self, batch: int, which: str) -> int:
        """x, y and the weights, or their gradients: in every pass two are read and one is written."""
        return FLOAT * (batch * (math.prod(self.x) + math.prod(self.y)) + math.prod(self.parameters["weight"]))


@dataclass(frozen=True)
class Conv(_Weighted):
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    kind: ClassVar[str] = "conv"

    @property
    def y(self) -> Shape:
        return (self.filters, *(output_size(n, self.kernel, self.stride, self.padding, False) for n in self.x[1:]))

    @property
    def parameters(self) -> dict[str, Shape]:
        return {"weight": (self.filters, self.x[0] // self.groups, self.kernel, self.kernel), "bias": (self.filters,)}


@dataclass(frozen=True)
class Linear(_Weighted):
    filters: int
    kind: ClassVar[str] = "linear"

    @property
    def y(self) -> Shape:
        return (self.filters,)

    @property
    def parameters(self) -> dict[str, Shape]:
        return {"weight": (self.filters, *self.x), "bias": (self.filters,)}


@dataclass(frozen=True)
class Pool(Layer):
    """Max-pooling, ceil mode.  The place of each maximum is kept for backward (1 byte in tinyconv, 8 in PyTorch)."""

    kernel: int = 3
    stride: int = 2
    kind: ClassVar[str] = "pool"

    @property
    def y(self) -> Shape:
        return (self.x[0], *(output_size(n, self.kernel, self.stride, 0, True) for n in self.x[1:]))

    def bytes(self, batch: int, which: str) -> int:
        """x (or gx), y (or gy) and the places at 1 byte."""
        x, y = batch * math.prod(self.x), batch * math.prod(self.y)
        return FLOAT * (x + y) + y


@dataclass(frozen=True)
class LRN(Layer):
    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    kind: ClassVar[str] = "lrn"


@dataclass(frozen=True)
class LRNMaxPool(LRN, Pool):
    """Both in one pass, as ``nn.Sequential`` runs them: what lies between is neither kept nor written to memory."""

    kind: ClassVar[str] = "lrn_max_pool"

    def bytes(self, batch: int, which: str) -> int:
        """As max-pooling; backward reads x besides, and works the norm out again."""
        again = FLOAT * batch * math.prod(self.x) if which == INPUT else 0
        return super().bytes(batch, which) + again


@dataclass(frozen=True)
class ReLU(Layer):
    kind: ClassVar[str] = "relu"


@dataclass(frozen=True)
class Dropout(Layer):
    p: float = 0.5
    kind: ClassVar[str] = "dropout"


@dataclass(frozen=True)
class Loss(Layer):
    """Softmax and cross-entropy: N rows of C logits to one number."""

    kind: ClassVar[str] = "loss"

    @property
    def y(self) -> Shape:
        return ()

    def bytes(self, batch: int, which: str) -> int:
        """Both passes read one array of the logits' shape and write another."""
        return 2 * FLOAT * batch * math.prod(self.x)


@dataclass(frozen=True)
class Update(Layer):
    """The optimizer's step over all parameters; ``x`` counts them.  It does not depend on the batch."""

    sizes: tuple[Shape, ...] = ()
    kind: ClassVar[str] = "update"
    passes: ClassVar[tuple[str, ...]] = (UPDATE,)

    @property
    def parameters(self) -> dict[str, Shape]:
        return {str(i): shape for i, shape in enumerate(self.sizes)}

    def bytes(self, batch: int, which: str) -> int:
        """w and v are read and written, g is read."""
        return FLOAT * 5 * math.prod(self.x)


def alexnet() -> list[Layer]:
    """The layers of bvlc_alexnet in order, without repetitions."""
    layers: list[Layer] = [
        Conv("conv1", (3, 227, 227), 96, 11, stride=4), ReLU("relu1", (96, 55, 55)),
        LRN("lrn1", (96, 55, 55)), Pool("pool1", (96, 55, 55)), LRNMaxPool("lrn1-pool1", (96, 55, 55)),
        Conv("conv2", (96, 27, 27), 256, 5, padding=2, groups=2), ReLU("relu2", (256, 27, 27)),
        LRN("lrn2", (256, 27, 27)), Pool("pool2", (256, 27, 27)), LRNMaxPool("lrn2-pool2", (256, 27, 27)),
        Conv("conv3", (256, 13, 13), 384, 3, padding=1), ReLU("relu3", (384, 13, 13)),
        Conv("conv4", (384, 13, 13), 384, 3, padding=1, groups=2),
        Conv("conv5", (384, 13, 13), 256, 3, padding=1, groups=2), ReLU("relu5", (256, 13, 13)),
        Pool("pool5", (256, 13, 13)),
        Linear("fc6", (256 * 6 * 6,), 4096), ReLU("relu6", (4096,)), Dropout("drop6", (4096,)),
        Linear("fc7", (4096,), 4096), Linear("fc8", (4096,), 1000), Loss("loss", (1000,))]
    shapes = tuple(shape for layer in layers for shape in layer.parameters.values())
    return [*layers, Update("update", (sum(map(math.prod, shapes)),), shapes)]
