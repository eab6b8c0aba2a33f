"""One training run: a network and a seed.  It has a folder of its own, and is taken up again where it was stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tinyconv as tc
from tinyconv.data import EvalTransform, Loader, TrainTransform
from tinyconv.optim import cosine_schedule
from tinyconv.training import Trainer

from .. import result_file
from .networks import PIXELS, Network

RESIZE = 64  # what the photos have, so that they are cropped and never scaled


@dataclass(frozen=True)
class Recipe:
    """How all runs are trained.  A finished run counts only for the recipe that it was trained with."""

    epochs: int = 5
    batch: int = 64
    lr: float = 0.01
    clip_norm: float = 5.0
    limit_batches: int | None = None
    data: str = ""
    devices: tuple[str, ...] = ("cpu",)

    def settings(self) -> dict[str, Any]:
        """What must be the same; where it runs need not.  HDF5 has no None, so no limit is 0."""
        own = {name: value for name, value in asdict(self).items() if name != "devices"}
        return own | {"limit_batches": self.limit_batches or 0}


@dataclass(frozen=True)
class Run:
    network: Network
    seed: int

    @property
    def label(self) -> str:
        return f"{self.network.name}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        return out / self.label.replace(", ", "-").replace(" ", "-")


def finished(run: Run, recipe: Recipe, out: Path) -> dict[str, Any] | None:
    """The result, or None.  Raises TrainingError if it is one of another recipe, or damaged."""
    return result_file.finished(run.folder(out), _settings(run, recipe))


def train(run: Run, recipe: Recipe, data: Any, out: Path) -> dict[str, Any]:
    """Train, or go on training, and write the result.

    Raises what the trainer does: Interrupted, TrainingError, CheckpointError."""
    tc.manual_seed(run.seed)  # before the model: its initial weights follow from the seed
    names = recipe.devices if run.network.towers == 2 else (_whole(recipe.devices[0]),)
    model = run.network.build(len(data.classes), names)
    cost = tc.nn.summary(model, (1, 3, PIXELS, PIXELS))
    optimizer = tc.optim.SGD(model.parameters(), recipe.lr)
    photos, validation = _loaders(run, recipe, data, optimizer.parameters[0].device)
    trainer = Trainer(model, optimizer, cosine_schedule(optimizer, recipe.epochs), photos, validation,
                      len(data.classes), run.folder(out), clip_norm=recipe.clip_norm,
                      limit_batches=recipe.limit_batches, settings=_settings(run, recipe))
    if trainer.checkpoint_path.exists():
        trainer.resume()
    trainer.fit(recipe.epochs)
    return result_file.keep(run.folder(out), _settings(run, recipe), {
        "network": run.network.name, "seed": run.seed, "devices": names, "macs": cost.multiply_accumulates,
        "parameters": cost.parameters, "epochs": trainer.history})


def _whole(name: str) -> str:
    """The device for one tower: all of the CPU, if ``cpu:0`` was named, which is a part of its cores."""
    return "cpu" if name.startswith("cpu:") else name


def _settings(run: Run, recipe: Recipe) -> dict[str, Any]:
    widths = " ".join(map(str, run.network.widths))
    return {"network": run.network.name, "widths": widths, "seed": run.seed, **recipe.settings()}


def _loaders(run: Run, recipe: Recipe, data: Any, device: tc.Device) -> tuple[Loader, Loader]:
    """The seed alone decides on order and augmentation: all networks see the same batches."""
    augment = TrainTransform(RESIZE, PIXELS, data.mean, data.std, color_noise=0.0 if data.grey else 0.1,
                             eigenvalues=data.eigenvalues, eigenvectors=data.eigenvectors)
    centre = EvalTransform(RESIZE, PIXELS, data.mean, data.std)
    return (Loader(data.split("train"), recipe.batch, augment, shuffle=True, seed=run.seed, empty=device.staging),
            Loader(data.split("val"), recipe.batch, centre, shuffle=False, seed=0, empty=device.staging))
