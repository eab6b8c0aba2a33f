"""All that a training run needs to go on as if it had never stopped, in one HDF5 file with a checksum (``seal.py``).

    model/...         the parameters by name
    optimizer/...     the learning rate, and the velocity of each parameter, in the same order
    dropout/...       for each dropout layer its stream and step: the counters of its random numbers
    schedule/...      what the learning-rate schedule remembers
    position/...      epoch, batch in the epoch, and the sums over the batches of this epoch so far, and since the last
                      line of steps.jsonl
    settings/...      what must be the same for the run to go on: options, and what the data looked like
    may change/...    other options
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
from ..safefile import temporary_beside
from ..serialization import load, save
from . import seal
from .keep import kept


class CheckpointError(ValueError):
    """A checkpoint that cannot be used here."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that cannot be used anywhere."""


def find(out: Path, resume: str | None, test_only: bool = False) -> Path | None:
    """The checkpoint to start from, or None for a new run in the folder ``out``.

    resume: None, "auto" (that of ``out``, if there is one; how one says it can be put into a script that is started
    again and again), or the path of a checkpoint.  Raises CheckpointError if a
    run that exists would be overwritten, or a checkpoint that is named or needed does not exist."""
    own = out / "checkpoint.h5"
    if resume in (None, "auto"):
        exists = own.exists() or bool(kept(out))
        if exists and not (resume or test_only):
            raise CheckpointError(f"{out} already holds a run; go on with --resume, or name another folder with --out")
        if test_only and not own.exists():
            raise CheckpointError(f"there is no file {own} to test; name a checkpoint with --resume")
        return own if exists else None
    chosen = Path(str(resume))
    if not chosen.is_file():
        raise CheckpointError(f"there is no file {chosen} to resume from")
    if own.exists() and not test_only and chosen.resolve() != own.resolve():
        raise CheckpointError(f"{out} already holds a run; name another folder with --out to start from {chosen}")
    return chosen


def write(path: str | os.PathLike[str], model: Module, optimizer: SGD, schedule: Schedule,
          position: Mapping[str, Any], settings: Mapping[str, Any], may_change: Mapping[str, Any],
          history: list[dict[str, Any]]) -> None:
    """Raises OSError if it cannot be written; what was at ``path`` before is then untouched."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "dropout": {name: {"stream": layer.stream, "step": layer.step} for name, layer in _dropouts(model)},
        "schedule": schedule.state_dict(),
        "position": dict(position),
        "settings": dict(settings),
        "may change": dict(may_change),
        "seed": str(current_seed()),  # as text: HDF5's integers end at 2**63
        "history": "\n".join(map(json.dumps, history)),
    }
    with temporary_beside(Path(path)) as temporary:
        try:
            save(state, temporary)
            seal.seal(temporary)
        except OSError as error:  # which names the temporary file
            raise OSError(error.errno, os.strerror(error.errno or 0)) from error


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Raises CheckpointError if there is no whole checkpoint at ``path``."""
    parts = {"model", "optimizer", "dropout", "schedule", "position", "settings", "may change", "seed", "history"}
    try:
        if Path(path).is_file():
            seal.check(Path(path))
        state = load(path)
        if missing := parts - set(state):
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        state["history"] = [json.loads(line) for line in state["history"].splitlines()]
        state["seed"] = int(state["seed"])
        if not all(isinstance(state[part], dict) for part in parts - {"seed", "history"}):
            raise ValueError("a part of it is no group")
    except FileNotFoundError as error:
        raise DamagedCheckpoint(str(error)) from error
    except (ValueError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path} is no checkpoint of a training run: {error}") from error
    return state


def load_model(path: str | os.PathLike[str], model: Module, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put a checkpoint's parameters into ``model`` and return the whole state.

    Settings that the checkpoint does not know, for it is older, are not compared.  Raises CheckpointError if it is of
    another network, or made with other settings; the model is then as before."""
    state = read(path)
    for name, value in settings.items():
        before = state["settings"].get(name, value)
        if before != value:
            raise CheckpointError(f"{path} is of a run with {name} {before}, not {value}; "
                                  "use the same again, or start a new run in another folder")
    try:
        model.load_state_dict(state["model"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds another network: {error.args[0]}") from error
    return state


def restore(path: str | os.PathLike[str], model: Module, optimizer: SGD, schedule: Schedule,
            settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put everything back where it was; return the state, for its position and history.

    Raises CheckpointError if the checkpoint is of another network, other data or a run with settings that lead
    elsewhere."""
    state = load_model(path, model, settings)
    try:
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        for name, layer in _dropouts(model):
            layer.stream, layer.step = int(state["dropout"][name]["stream"]), int(state["dropout"][name]["step"])
        manual_seed(state["seed"])
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error}") from error
    return state


def _dropouts(model: Module) -> list[tuple[str, Dropout]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Dropout)]
