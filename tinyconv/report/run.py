"""What a training run left in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..training import checkpoint, record
from ..training.keep import kept
from ..training.steplog import whole_lines


@dataclass
class Run:
    """A run.

    folder       where it is
    epochs       the lines of log.jsonl, one for each epoch
    steps        those of steps.jsonl
    record       run.json: data, and the sessions with their options and environment
    best         the checkpoint of the best epoch; the newest if there is no best yet; None if there is neither
    state        its content
    """

    folder: Path
    epochs: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    record: dict[str, Any]
    best: Path | None
    state: dict[str, Any] | None

    @property
    def first_filters(self) -> list[np.ndarray]:
        """(K, 3, R, S) of each tower: the weights of all convolutions of three channels."""
        model = self.state["model"] if self.state else {}
        return [array for array in model.values() if array.ndim == 4 and array.shape[1] == 3]


def read_run(folder: Path) -> Run:
    """Raises ValueError if there is no run in ``folder``; what else is missing or damaged is left out."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name that of a run, its --out")
    epochs = _epochs(folder / "log.jsonl")
    steps = list(whole_lines(folder / "steps.jsonl")) if (folder / "steps.jsonl").exists() else []
    best, state = _checkpoint(folder)
    if not (epochs or steps or state):
        raise ValueError(f"{folder} holds no training run: neither log.jsonl nor steps.jsonl nor a checkpoint; "
                         "name the --out of one")
    return Run(folder, epochs or (state["history"] if state else []), steps, record.read(folder), best, state)


def _epochs(path: Path) -> list[dict[str, Any]]:
    found = []
    if path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and {"epoch", "train_loss", "val_loss"} <= set(line):
                found.append(line)
    return found


def _checkpoint(folder: Path) -> tuple[Path | None, dict[str, Any] | None]:
    for path in (folder / "best.h5", folder / "checkpoint.h5", *(path for _, path in kept(folder))):
        try:
            return path, checkpoint.read(path)
        except checkpoint.CheckpointError:
            continue
    return None, None
