"""tinyconv's side of the comparison: the example and the evaluation, called as a user would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from examples import alexnet_imagenet
from tinyconv import evaluate
from tinyconv.training import TrainingError

from .recipe import CROPS, Recipe, Run

_INTERRUPTED = 130


def train(run: Run, recipe: Recipe, data: Any, folder: Path) -> dict[str, Any]:
    """Train, or go on training, in the folder; then evaluate the last weights on the photos of "val".

    Raises TrainingError: something failed, and has told why.  KeyboardInterrupt: it was interrupted, and all is saved.
    """
    _example(*training_options(run, recipe), "--data", str(data.path), "--out", str(folder))
    evaluation = folder / "evaluation.json"
    _succeed("tinyconv.evaluate", evaluate.main(
        [str(folder / "checkpoint.h5"), "--data", str(data.path), "--ten-crop", "--json", str(evaluation),
         "--worst", "0"]))
    by_crops = {line["crops"]: line for line in json.loads(evaluation.read_text(encoding="utf-8"))["results"]}
    accuracies = {crops: _accuracy(by_crops[name]) for crops, name in CROPS.items()}
    history = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {**accuracies, "images": by_crops[CROPS["ten"]]["images"], "epochs": [
        {name: line[name] for name in ("epoch", "train_loss", "val_top1", "val_top5", "seconds")} for line in history]}


def training_options(run: Run, recipe: Recipe) -> list[str]:
    """The example's options for this recipe."""
    given: dict[str, Any] = {
        "variant": recipe.variant, "init": "he", "resize": recipe.resize, "crop": recipe.crop, "epochs": recipe.epochs,
        "batch": recipe.batch, "lr": recipe.lr, "schedule": "cosine", "momentum": recipe.momentum,
        "weight-decay": recipe.weight_decay, "clip-norm": recipe.clip_norm, "color-noise": recipe.color_noise,
        "seed": run.seed, "resume": "auto"}
    if recipe.limit_batches:
        given["limit-batches"] = recipe.limit_batches
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def _example(*arguments: str) -> None:
    """In this process, so that whatever ends this one ends the training."""
    before = sys.argv
    sys.argv = [str(alexnet_imagenet.__file__), *arguments]  # the example tells how it was called
    try:
        _succeed("examples/alexnet_imagenet.py", alexnet_imagenet.main())
    finally:
        sys.argv = before


def _succeed(name: str, status: int) -> None:
    if status == _INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise TrainingError(f"{name} ended with exit status {status}; its own message is above")


def _accuracy(result: dict[str, Any]) -> dict[str, float]:
    return {top: result[top]["share"] for top in ("top1", "top5")}
