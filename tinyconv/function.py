"""Functions, and how gradients flow back through them.

A Function is one differentiable step.  Calling it runs its kernels and links the result to its inputs, so that the
program, as it runs, leaves a graph behind.  :func:`backward` walks that graph from the loss to the leaves.

Why in reverse topological order?  Take the diamond ``a -> b, a -> c, (b, c) -> d``, say ``d = a*2 + a*3``:

            b = a*2
          /         \\            A gradient may only be passed on when it is complete.  Going depth first from d,
    a ---<           >--- d      by way of b, would reach a's creator with b's share only, and pass it on; then a
          \\         /            second time with c's.  In a chain of k diamonds that is 2**k visits.
            c = a*3

In the order d, c, b, a each node comes after all who use it: its gradient is the finished sum; one visit is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .device import Array, Device
from .grad_mode import is_grad_enabled

if TYPE_CHECKING:
    from .tensor import Tensor


_calls = itertools.count()


class Function:
    """One differentiable step.  A subclass writes ``forward`` and ``backward`` over arrays, and launches kernels.

    ``forward`` keeps what ``backward`` needs with ``self.save(...)``; ``self.needs[i]`` tells ``backward`` whether
    anybody wants the gradient of input i.  ``backward`` returns one gradient (or None) for each input: a new array, or
    the one that it was given or a view of it, which it must not write to, for others may read the same array."""

    name = "function"  # what error messages call it: as users spell it in tinyconv.functional
    device: Device
    number: int  # counts calls
    inputs: tuple[Tensor | None, ...] = ()
    saved: tuple[Any, ...] = ()
    needs: tuple[bool, ...]

    def __init__(self, **options: Any) -> None:
        vars(self).update(options)

    def forward(self, *arrays: Any) -> Array:
        raise NotImplementedError

    def backward(self, gy: Array) -> tuple[Array | None, ...]:
        raise NotImplementedError

    def save(self, *arrays: Array | None) -> None:
        self.saved = arrays

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        from .tensor import Tensor

        if hasattr(self, "needs"):
            raise RuntimeError(f"{self.name}: a Function object is one node of a graph; make a new one for each call")
        tensors = [t for t in inputs if t is not None]
        self.device = tensors[0].device
        self._check(tensors)
        record = is_grad_enabled() and any(t.requires_grad for t in tensors)
        self.needs = tuple(record and t is not None and t.requires_grad for t in inputs)
        self.number = next(_calls)
        data = self.forward(*(None if t is None else t.data for t in inputs))
        result = Tensor(data, self.device)  # a copy to another device has set self.device to where its result lies
        if any(t.device is result.device and t.device.shares_memory(result.data, t.data) for t in tensors):
            result.version = tensors[0].version  # a view: changing one in place changes both
        if record:
            result.requires_grad, result.creator, self.inputs = True, self, inputs
            # An input or output whose memory is saved could be changed in place before backward reads it.
            self._versions = [(t.version, t.version[0]) for t in (*tensors, result)
                              if any(t.device.shares_memory(t.data, a) for a in self.saved if a is not None)]
        else:
            self.saved = ()
        return result

    def _check(self, tensors: Sequence[Tensor]) -> None:
        for t in tensors[1:]:
            if t.device is not self.device:
                raise ValueError(f"{self.name}: inputs are on {self.device} and {t.device}; move one with .to()")
            if t.dtype != tensors[0].dtype:
                raise TypeError(f"{self.name}: inputs are {tensors[0].dtype} and {t.dtype}; convert one with .to()")

    def run_backward(self, gy: Array) -> tuple[Array | None, ...]:
        """``backward`` between the checks that what it reads still exists and is unchanged; then lets it go."""
        if not self.inputs:
            raise RuntimeError(f"{self.name}: backward has been here and freed what it kept; run forward again")
        if any(version[0] != then for version, then in self._versions):
            raise RuntimeError(f"{self.name}: a tensor that backward needs was changed in place after the forward pass")
        gradients = self.backward(gy)
        for i, (t, g) in enumerate(zip(self.inputs, gradients, strict=True)):
            if t is not None and g is not None and tuple(g.shape) != t.shape:
                raise ValueError(f"{self.name}: backward gave input {i}, of shape {t.shape}, a gradient of {g.shape}")
        return gradients


def topological_order(root: Function) -> list[Function]:
    """Every Function that ``root`` depends on, each after all of those that it depends on itself; ``root`` is last.

    The order in which they were called is such an order.  Backward, it also keeps two devices busy: what ran side by
    side forward does so again.  (With a stack: a network of 10,000 layers must not meet Python's recursion limit.)"""
    found, stack = {root}, [root]
    while stack:
        new = {t.creator for t in stack.pop().inputs if t is not None and t.creator is not None} - found
        found |= new
        stack += new
    return sorted(found, key=lambda function: function.number)


def backward(root: Tensor, gradient: Array) -> None:
    """Add to every leaf's ``grad`` the gradient of ``sum(root * gradient)``."""
    if root.creator is None:
        root.accumulate_grad(gradient, shared=True)
        return
    pending: dict[int, Array] = {id(root.creator): gradient}
    order = topological_order(root.creator)
    while order:
        function = order.pop()
        gy = pending.pop(id(function), None)
        if gy is None:
            continue  # everyone who uses its result is indifferent to it
        gradients = function.run_backward(gy)
        inputs, function.inputs, function.saved = function.inputs, (), ()  # frees memory; a failure is not begun again
        for tensor, needed, g in zip(inputs, function.needs, gradients, strict=True):
            if tensor is None or not needed or g is None:
                continue
            if tensor.creator is None:
                holders = sum(a is not None and tensor.device.shares_memory(g, a) for a in (gy, *gradients))
                tensor.accumulate_grad(g, shared=holders > 1)  # one of them is g itself
            elif (before := pending.get(key := id(tensor.creator))) is None:
                pending[key] = g
            else:  # out of place: either may also be on its way to somebody else
                total = tensor.device.empty(tensor.shape, tensor.dtype)
                tensor.device.launch("elementwise.add", before, g, total)
                pending[key] = total
