"""All that a training run needs to go on as if it had never stopped, in one HDF5 file.

    model/...         the parameters by name
    optimizer/...     the learning rate, and the velocity of each parameter, in the same order
    dropout/...       for each dropout layer its stream and step: the counters of its random numbers
    schedule/...      what the learning-rate schedule remembers
    position/...      epoch, batch in the epoch, and the sums over the batches of this epoch so far
    settings/...      the options that decide the numbers, and what the data looked like
    history           the log so far, JSON lines

The order of the images and their augmentation follow from the seed, the epoch and the batch, so they need no state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..nn import Dropout, Module
from ..optim import SGD, Schedule
from ..random import manual_seed
from ..random import seed as current_seed
from ..serialization import load, save


class CheckpointError(ValueError):
    """A checkpoint that cannot be used here."""


def write(path: str | os.PathLike[str], model: Module, optimizer: SGD, schedule: Schedule,
          position: Mapping[str, Any], settings: Mapping[str, Any], history: list[dict[str, Any]]) -> None:
    """Raises OSError if it cannot be written; what was at ``path`` before is then untouched."""
    save({
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "dropout": {name: {"stream": layer.stream, "step": layer.step} for name, layer in _dropouts(model)},
        "schedule": schedule.state_dict(),
        "position": dict(position),
        "settings": dict(settings),
        "seed": str(current_seed()),  # as text: HDF5's integers end at 2**63
        "history": "\n".join(map(json.dumps, history)),
    }, path)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Raises CheckpointError if there is no whole checkpoint at ``path``."""
    try:
        state = load(path)
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(str(error)) from error
    missing = {"model", "optimizer", "dropout", "schedule", "position", "settings", "seed", "history"} - set(state)
    if missing:
        raise CheckpointError(f"{path} is no checkpoint of a training run: it has no {', '.join(sorted(missing))}")
    state["history"] = [json.loads(line) for line in state["history"].splitlines()]
    return state


def load_model(path: str | os.PathLike[str], model: Module) -> dict[str, Any]:
    """Put a checkpoint's parameters into ``model`` and return the whole state.

    Raises CheckpointError if it is of another network; the model is then as before."""
    state = read(path)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{Path(path)} holds another network: {error.args[0]}") from error
    return state


def restore(path: str | os.PathLike[str], model: Module, optimizer: SGD, schedule: Schedule,
            settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put everything back where it was; return the state, for its position and history.

    Raises CheckpointError if the checkpoint is of another network, other data or a run with settings that lead
    elsewhere; nothing is changed then."""
    state = read(path)
    for name, value in settings.items():
        before = state["settings"].get(name)
        if before != value:
            raise CheckpointError(f"{path} is of a run with {name} {before}, not {value}; "
                                  f"use the same again, or start a new run in another folder")
    load_model(path, model)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    manual_seed(int(state["seed"]))
    for name, layer in _dropouts(model):
        layer.stream, layer.step = state["dropout"][name]["stream"], state["dropout"][name]["step"]
    return state


def _dropouts(model: Module) -> list[tuple[str, Dropout]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Dropout)]
