"""Stochastic gradient descent as in the 2012 paper, and schedules of its learning rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .changing import changes
from .device import Array
from .functional import checks
from .tensor import Tensor


class SGD:
    """v <- momentum v - lr (g + weight_decay w);   w <- w + v      (Krizhevsky et al. 2012, section 5)

    The learning rate is inside the velocity.  PyTorch keeps it outside (v <- momentum v + g;  w <- w - lr v): the
    same steps while lr stays, but after a change of lr, here what is already moving keeps its speed.

    Args:
        params: tensors, or groups: dicts with ``params`` and optionally ``lr`` (a factor on lr, as Caffe's lr_mult)
            and ``weight_decay`` (in place of the general one).
        lr: learning rate, > 0.
        momentum: 0 <= momentum < 1.
        weight_decay: L2 penalty, >= 0.

    Raises: ValueError for values out of range or no parameters, TypeError for what is not a tensor.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 5e-4) -> None:
        checks.number("SGD", "lr", lr, above=0)
        checks.number("SGD", "momentum", momentum, least=0, below=1)
        checks.number("SGD", "weight_decay", weight_decay, least=0)
        self.lr, self.momentum, self.weight_decay = float(lr), float(momentum), float(weight_decay)
        self.groups = _groups(params, self.weight_decay)
        self.velocity = [[_like(p, np.zeros(p.shape)) for p in group["params"]] for group in self.groups]

    @property
    def parameters(self) -> list[Tensor]:
        return [p for group in self.groups for p in group["params"]]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group, velocities in zip(self.groups, self.velocity, strict=True):
            for p, v in zip(group["params"], velocities, strict=True):
                if p.grad is None:
                    continue
                if v.device is not p.device:  # the parameter has moved
                    v.data, v.device = p.device.upload(v.numpy(), plain=True), p.device
                weight, gradient = (p.device.dense(a, plain=True) for a in (p.data, p.grad.data))
                with changes(p):
                    p.device.launch("update.sgd", weight, gradient, v.data, lr=self.lr * group["lr"],
                                    momentum=self.momentum, weight_decay=group["weight_decay"])
                    if weight is not p.data:  # a tensor that is no Parameter may lie otherwise
                        p.device.launch("elementwise.copy", weight, p.data)

    def state_dict(self) -> dict[str, Any]:
        """The current learning rate, and the velocities by the numbers of their parameters."""
        velocities = [v.numpy() for vs in self.velocity for v in vs]
        return {"lr": self.lr, "velocity": {str(i): v for i, v in enumerate(velocities)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError, and changes nothing, if it is no such state, or that of other parameters."""
        if set(state) != {"lr", "velocity"}:
            raise ValueError(f"SGD: a state has lr and velocity, but not {', '.join(map(str, state)) or 'nothing'}")
        checks.number("SGD", "lr", state["lr"], least=0)
        own, given = self.parameters, state["velocity"]
        if {str(i): p.shape for i, p in enumerate(own)} != {i: np.shape(v) for i, v in given.items()}:
            raise ValueError("SGD: these velocities belong to other parameters")
        number = itertools.count()
        self.velocity = [[_like(p, given[str(next(number))]) for p in group["params"]] for group in self.groups]
        self.lr = float(state["lr"])


def _groups(params: Any, weight_decay: float) -> list[dict[str, Any]]:
    if isinstance(params, Tensor):
        raise TypeError("SGD: params must be a list of tensors, not one tensor; use [tensor]")
    params = list(params)
    groups = params if params and all(isinstance(p, dict) for p in params) else [{"params": params}]
    for g in groups:
        if "params" not in g or set(g) - {"params", "lr", "weight_decay"}:
            raise ValueError(f"SGD: a group has params, and perhaps lr and weight_decay, but not {', '.join(g)}")
        if isinstance(g["params"], Tensor):
            raise TypeError("SGD: params of a group must be a list of tensors, not one tensor; use [tensor]")
    result = [{"lr": 1.0, "weight_decay": weight_decay, **g, "params": list(g["params"])} for g in groups]
    for g in result:
        checks.number("SGD", "lr of a group", g["lr"], least=0)
        checks.number("SGD", "weight_decay of a group", g["weight_decay"], least=0)
    _check_parameters([p for g in result for p in g["params"]])
    return result


def _check_parameters(params: list[Any]) -> None:
    if not params:
        raise ValueError("SGD: there are no parameters to train")
    for p in params:
        if not isinstance(p, Tensor) or not p.requires_grad:
            raise TypeError(f"SGD: params must be tensors that require a gradient, not {type(p).__name__}")
        if p.creator is not None:
            raise ValueError(f"SGD: a tensor made by {p.creator.name} is no leaf: it has no gradient of its own")
    if len({id(p) for p in params}) < len(params):
        raise ValueError("SGD: a parameter is named twice; it would take two steps at a time")


def _like(p: Tensor, array: Any) -> Tensor:
    """``array`` where ``p`` is."""
    return Tensor(p.device.upload(np.asarray(array, p.dtype), plain=True), p.device)


def clip_grad_norm_(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by max_norm / norm if their joint Euclidean norm is larger.  Returns the norm before.

    Raises ValueError unless max_norm > 0."""
    checks.number("clip_grad_norm_", "max_norm", max_norm, above=0)
    gradients = [p.grad for p in params if p.grad is not None]
    norm = total_norm(gradients)
    if norm > max_norm:
        for g in gradients:
            with changes(g):
                g.device.launch("elementwise.scale", g.data, g.data, factor=max_norm / norm)
    return norm


def total_norm(tensors: Iterable[Tensor]) -> float:
    """The Euclidean norm of all these tensors together; not finite if one of their elements is not."""
    sums = [(t.device, _sum_of_squares(t)) for t in tensors]  # all are launched before the first is waited for
    return math.sqrt(sum(float(device.download(total)) for device, total in sums))


def _sum_of_squares(g: Tensor) -> Array:
    total = g.device.empty((), np.float64)
    g.device.launch("update.sum_of_squares", g.device.dense(g.data, plain=True), total)
    return total


class Schedule:
    """A learning rate that follows the training.  Call ``batch(epoch, part)`` before each step, with ``part`` the done
    share of the epoch, and ``epoch_end(metric)`` after each epoch, with a number that should rise (validation top-1).

    Wraps a function of (epochs done, as a real number) that gives the factor on the base lr.

    Args:
        optimizer: whose ``lr`` is set; its value now is the base.
        factor: epochs done -> factor.
        warmup: epochs over which the factor first rises linearly from 0 to what it would be.
    """

    def __init__(self, optimizer: SGD, factor: Callable[[float], float] = lambda done: 1.0, warmup: float = 0) -> None:
        checks.number("Schedule", "warmup", warmup, least=0)
        self.optimizer, self.base, self.warmup = optimizer, optimizer.lr, warmup
        self._factor = factor

    def factor(self, done: float) -> float:
        return self._factor(done)

    def batch(self, epoch: int, part: float = 0.0) -> float:
        """Set and return the learning rate for the batch that comes ``part`` of the way through ``epoch``."""
        done = epoch + part
        ramp = min(1.0, (done + 1e-3) / self.warmup) if self.warmup else 1.0
        self.optimizer.lr = self.base * ramp * self.factor(done)
        return self.optimizer.lr

    def epoch_end(self, metric: float) -> None:
        """Hear how the validation went.  Only :class:`Plateau` listens."""

    def state_dict(self) -> dict[str, float]:
        """What it has learnt from the training so far: nothing.  Base rate and epochs are given anew with each run."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take back what :meth:`state_dict` gave."""


def step_schedule(optimizer: SGD, every: float, gamma: float = 0.1, warmup: float = 0) -> Schedule:
    """lr gamma ** floor(epochs / every): Caffe's ``step``."""
    checks.number("step_schedule", "every", every, above=0)
    checks.number("step_schedule", "gamma", gamma, above=0)
    return Schedule(optimizer, lambda done: gamma ** math.floor(done / every), warmup)


def cosine_schedule(optimizer: SGD, epochs: float, warmup: float = 0) -> Schedule:
    """lr (1 + cos(pi t)) / 2, t going from 0 to 1 over the epochs (Loshchilov and Hutter 2017)."""
    checks.number("cosine_schedule", "epochs", epochs, above=0)
    return Schedule(optimizer, lambda done: (1 + math.cos(math.pi * min(done / epochs, 1))) / 2, warmup)


class Plateau(Schedule):
    """lr divided by 10 when the validation accuracy stops improving, as in 2012 (three times in 90 epochs).

    Args:
        patience: epochs without a new best before the rate falls.
        gamma: what it is multiplied with.
        threshold: what counts as better: more than best + threshold.
        times: the most often that it falls.
    """

    def __init__(self, optimizer: SGD, patience: int = 5, gamma: float = 0.1, threshold: float = 1e-4, times: int = 3,
                 warmup: float = 0) -> None:
        super().__init__(optimizer, warmup=warmup)
        for name, value, least in (("patience", patience, 1), ("times", times, 0)):
            checks.number("Plateau", name, value, least=least)
            if not checks.is_int(value):
                raise TypeError(f"Plateau: {name} must be an int, not {value!r}")
        checks.number("Plateau", "gamma", gamma, above=0)
        checks.number("Plateau", "threshold", threshold)
        self.patience, self.gamma, self.threshold, self.times = patience, gamma, threshold, times
        self.best, self.waited, self.falls = -math.inf, 0, 0

    def factor(self, done: float) -> float:
        return self.gamma ** self.falls

    def epoch_end(self, metric: float) -> None:
        if metric > self.best + self.threshold:
            self.best, self.waited = metric, 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.falls < self.times:
            self.falls, self.waited = self.falls + 1, 0

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited, "falls": self.falls}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited, self.falls = state["best"], int(state["waited"]), int(state["falls"])
