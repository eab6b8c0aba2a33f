"""Module: a layer, or layers made of layers; it finds its parameters in its attributes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..changing import changes
from ..device import Device
from ..device import device as find_device
from ..tensor import Tensor


class _Observers(threading.local):
    """Called with (module, result) after each module of this thread: how summary() sees a network."""

    def __init__(self) -> None:
        self.functions: list[Callable[[Module, Tensor], None]] = []


observers = _Observers()


class Parameter(Tensor):
    """A tensor that training changes.  It lies in plain row-major memory on every device."""

    def __init__(self, array: Any, device: str | Device = "cpu") -> None:
        where = find_device(device)
        source = np.asarray(array)
        if source.dtype not in (np.float32, np.float64):
            raise TypeError(f"Parameter: must be float32 or float64, not {source.dtype}")
        super().__init__(where.upload(source, plain=True), where, requires_grad=True)


class Module:
    """The base of all layers.  A subclass sets parameters and other modules as attributes and writes ``forward``."""

    training = True

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *inputs: Any) -> Any:
        result = self.forward(*inputs)
        for observe in observers.functions:
            observe(self, result)
        return result

    def children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside, in the order in which they were set."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all inside."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of all inside; one that is used in several places comes once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Training mode (dropout works) or, with ``mode=False``, evaluation mode, for all inside."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation mode: dropout passes everything through."""
        return self.train(False)

    def to(self, target: str | Device) -> Module:
        """Move all parameters to a device, in place."""
        where = find_device(target)
        for parameter in self.parameters():
            if parameter.device is not where:
                with changes(parameter):  # a backward pass of before must not go on with the old device
                    parameter.data = where.upload(parameter.numpy(), plain=True)
                    parameter.device, parameter.grad = where, None
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> array (a copy) of every parameter."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Overwrite all parameters with these arrays.  Changes nothing unless every name and shape fits.

        Raises KeyError for names that are missing or unknown, ValueError for shapes that differ or no numbers."""
        own = dict(self.named_parameters())
        missing, unknown = [n for n in own if n not in state], [n for n in state if n not in own]
        if missing or unknown:
            raise KeyError(f"load_state_dict: this is the state of another network; missing: {_some(missing)}; "
                           f"unknown: {_some(unknown)}")
        arrays = {name: np.asarray(state[name], parameter.dtype) for name, parameter in own.items()}
        for name, parameter in own.items():
            if arrays[name].shape != parameter.shape:
                raise ValueError(f"load_state_dict: {name} has shape {arrays[name].shape} in the state, but "
                                 f"{parameter.shape} in this network")
        for name, parameter in own.items():
            parameter.copy_(arrays[name])

    def extra_repr(self) -> str:
        """What __repr__ prints between the parentheses of a layer."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.children()]
        inside = "\n  " + "\n  ".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"


class _Container(Module):
    """Modules that can also be reached by number."""

    def _set(self, name: str, module: Any) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {name} must be a Module, not {type(module).__name__}")
        if hasattr(Module, name) or "." in name:
            raise ValueError(f"{type(self).__name__}: {name!r} cannot be the name of a module: methods have it, or it "
                             "has a dot")
        setattr(self, name, module)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __getitem__(self, index: int) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Any]:
        return (module for _, module in self.children())


class Sequential(_Container):
    """Modules one after the other.  Takes modules, or one dict of name -> module.

    This is the one place that sees which layers are neighbours; ``fusion.py`` computes some pairs of them at once."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Mapping[str, Any] = modules[0]
        else:
            named = {str(i): module for i, module in enumerate(modules)}
        for name, module in named.items():
            self._set(name, module)

    def __getitem__(self, index: int | slice) -> Any:
        """A module by its number, or some of them, as a Sequential, by a slice."""
        return Sequential(dict(list(self.children())[index])) if isinstance(index, slice) else list(self)[index]

    def forward(self, x: Tensor) -> Tensor:
        from .fusion import run  # late: the table names layers, which are built on this file

        return run(list(self), x)


class ModuleList(_Container):
    """Modules in a list that their owner can call as it likes."""

    def __init__(self, modules: list[Any]) -> None:
        for i, module in enumerate(modules):
            self._set(str(i), module)
