"""PyTorch's side of the comparison: the same network, trained and evaluated by the same recipe.

One thing is PyTorch's own: its SGD keeps the learning rate outside the velocity (see ``tinyconv.optim.SGD``), which
matters only while the rate changes quickly.

Imported only where PyTorch is installed.
"""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import tinyconv as tc
from tinyconv.safefile import make_folder, only_user_of, temporary_beside
from tinyconv.training import TrainingError

from .. import torch_networks
from .pictures import Crops, Photos
from .recipe import MOST_EPOCHS, Recipe, Run

_AT_ONCE = 100  # photos in a batch of the evaluation


def train(run: Run, recipe: Recipe, data: Any, folder: Path) -> dict[str, Any]:
    """Train, or go on training after the last whole epoch; then evaluate on the photos of "val".

    Raises TrainingError: the loss is no number, or the checkpoint is damaged.  OSError: another run uses the folder.
    """
    make_folder(folder)
    with only_user_of(folder):
        _reseed(run, 0)
        network = initial(recipe, len(data.classes))
        optimizer = torch.optim.SGD(network.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
        history = _load(folder / "checkpoint.pt", network, optimizer)
        crops = Crops(data, recipe.crop, recipe.color_noise)
        asked = Photos(data.split("val"), recipe.resize, "validation photos")
        if len(history) < recipe.epochs:
            known = Photos(data.split("train"), recipe.resize, "training photos")
            _epochs(run, recipe, network, optimizer, history, known, asked, crops, folder / "checkpoint.pt")
        return {**evaluate(network, asked, crops, ten=True), "images": len(asked), "epochs": history}


def _epochs(run: Run, recipe: Recipe, network: nn.Module, optimizer: torch.optim.Optimizer,
            history: list[dict[str, Any]], known: Photos, asked: Photos, crops: Crops, checkpoint: Path) -> None:
    """Train for the epochs that are missing; add a line to the history, and write a checkpoint, after each."""
    shown = asked.first(recipe.limit_batches * recipe.batch or len(asked))
    while len(history) < recipe.epochs:
        began = time.monotonic()
        _reseed(run, len(history) + 1)
        loss = epoch(network, optimizer, known, crops, recipe, len(history))
        seconds = time.monotonic() - began
        accuracy = evaluate(network, shown, crops, ten=False)["centre"]
        history.append({"epoch": len(history) + 1, "train_loss": loss, "val_top1": accuracy["top1"],
                        "val_top5": accuracy["top5"], "seconds": seconds})
        print("epoch {epoch}: loss {train_loss:.4f}, validation top-1 {val_top1:.2%}, top-5 {val_top5:.2%}, "
              "{seconds:.0f} s".format(**history[-1]), flush=True)
        _save(checkpoint, network, optimizer, history)


def _reseed(run: Run, epoch: int) -> None:
    """An epoch's random numbers follow from the run's seed and its number; 0 is for the initial weights.

    PyTorch's generator for the CPU uses the lower 32 bits of a seed only, hence no larger factor."""
    torch.manual_seed(run.seed * MOST_EPOCHS + epoch)


def _load(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The history of the epochs that the network and the optimizer have then behind them; [] without a checkpoint."""
    if not checkpoint.exists():
        return []
    try:
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        history: list[dict[str, Any]] = state["history"]
    except Exception as error:  # of whatever kind: torch.load raises many
        raise TrainingError(f"{checkpoint} is damaged ({type(error).__name__}: {error}); remove it, and the run "
                            "begins anew") from error
    print(f"going on after {len(history)} epochs")
    return history


def _save(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer,
          history: list[dict[str, Any]]) -> None:
    whole = io.BytesIO()  # torch.save would answer a full disk with an error that names neither file nor reason
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, whole)
    with temporary_beside(checkpoint) as temporary:
        temporary.write_bytes(whole.getbuffer())


def initial(recipe: Recipe, classes: int) -> nn.Module:
    """The network with initial weights, drawn by PyTorch."""
    shapes = tc.models.alexnet(recipe.variant, classes, input_size=recipe.crop).state_dict()
    network = torch_networks.build(recipe.variant, {name: array.copy() for name, array in shapes.items()}, recipe.crop)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.normal_(layers[-1].weight, std=0.1 / math.sqrt(layers[-1].in_features))
    return network


def epoch(network: nn.Module, optimizer: torch.optim.Optimizer, photos: Photos, crops: Crops, recipe: Recipe,
          done: int) -> float:
    """Train for an epoch after ``done`` epochs; returns the mean loss of its photos.

    Raises TrainingError: the loss is no number."""
    network.train()
    batches = torch.randperm(len(photos)).split(recipe.batch)
    total, seen = 0.0, 0
    shown = batches[:recipe.limit_batches or len(batches)]
    for number, batch in enumerate(tqdm(shown, f"epoch {done + 1}/{recipe.epochs}", leave=False, disable=None)):
        part = (done + number / len(shown)) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * (1 + math.cos(math.pi * part)) / 2
        loss = F.cross_entropy(network(crops.random(photos.squares[batch])), photos.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm or math.inf)
        optimizer.step()
        total, seen = total + len(batch) * loss.item(), seen + len(batch)
        if not math.isfinite(total):
            raise TrainingError(f"PyTorch's loss is {loss.item()} in batch {number + 1} of epoch {done + 1}; the "
                                "checkpoint of the epoch before is intact; a smaller --lr may help")
    return total / seen


@torch.no_grad()
def evaluate(network: nn.Module, photos: Photos, crops: Crops, ten: bool) -> dict[str, dict[str, float]]:
    """Shares of the photos, {"centre": {"top1": ..., "top5": ...}}, and "ten": by the mean probability of ten crops."""
    network.eval()
    hits = {name: {"top1": 0, "top5": 0} for name in ("centre", "ten")[:1 + ten]}
    for squares, labels in zip(photos.squares.split(_AT_ONCE), photos.labels.split(_AT_ONCE), strict=True):
        views = crops.ten(squares)[:10 if ten else 1]
        probabilities = [network(view).softmax(1) for view in views]
        for name, count in hits.items():
            first = sum(probabilities[:10 if name == "ten" else 1]).topk(5).indices == labels[:, None]
            count["top1"] += int(first[:, 0].sum())
            count["top5"] += int(first.sum())
    return {name: {top: value / len(photos) for top, value in count.items()} for name, count in hits.items()}
