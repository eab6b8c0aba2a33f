"""Trained networks, rebuilt from their checkpoints; and how good they are, each by itself and together.

The networks may differ in everything but their classes.  Each photo is decoded and cropped once for all networks that
want it alike, and every network sees a batch before the next is loaded, so the memory needed does not grow with the
number of photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.dataset import ImageSplit
from ..data.loader import Batch, Loader
from ..data.transforms import EvalTransform
from ..device import Device
from ..models import alexnet
from ..nn import Module
from . import checkpoint
from .checkpoint import CheckpointError
from .evaluation import Result, evaluating, mean_log_probability, predict
from .normalisation import from_settings, normalisation
from .tally import Tally

CENTRE = 4  # the central crop's place among the ten
_NEEDED = ("variant", "crop", "init", "class names", "resize", "classes")


@dataclass
class Trained:
    """A network, and how its photos must be prepared.

    name           the checkpoint's path
    model          on the device ``device``, or on several, of which that is the first
    classes        the name of each class
    resize, crop   the side of the square, and of the crop of it that the network sees, in pixels
    mean, std      (3,) each, in 0..255, of red, green, blue: the network wants (pixel - mean) / std
    about          what else the checkpoint tells, for a report
    """

    name: str
    model: Module
    device: Device
    classes: list[str]
    resize: int
    crop: int
    mean: np.ndarray
    std: np.ndarray
    about: dict[str, Any]

    def transform(self, ten_crop: bool) -> EvalTransform:
        return EvalTransform(self.resize, self.crop, self.mean, self.std, ten_crop=ten_crop)


def load_trained(path: str | os.PathLike[str], data: Any, devices: Sequence[Device],
                 statistics: Any = None) -> Trained:
    """The network of a checkpoint of ``examples/alexnet_imagenet.py``, with its weights.

    data: an open pack.  Its mean and standard deviation of the pixels are used if the checkpoint has none.
    statistics: a pack whose mean and standard deviation are used in any case: the one trained on.

    Raises CheckpointError if ``path`` is no such checkpoint."""
    state = checkpoint.read(path)
    settings = state["settings"]
    if missing := [name for name in _NEEDED if name not in settings]:
        raise CheckpointError(f"{path} does not say which network it is of: its settings have no "
                              f"{', '.join(missing)}; it must be of a run of examples/alexnet_imagenet.py")
    classes = _class_names(path, settings, data.classes)
    model = alexnet(settings["variant"], len(classes), devices, settings["crop"], settings["init"])
    try:
        model.load_state_dict(state["model"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds another network than its settings say: {error.args[0]}") from error
    mean, std = _scaling(path, settings, data, statistics)
    about = {name: settings[name] for name in ("variant", "init", "resize", "crop", "seed", "training images")
             if name in settings} | {"epochs": state["position"].get("epoch")}
    return Trained(str(path), model, devices[0], classes, settings["resize"], settings["crop"], mean, std, about)


def _class_names(path: Any, settings: Mapping[str, Any], expected: Sequence[str]) -> list[str]:
    """A checkpoint has them in one string, from which they can be told apart unless a name has a semicolon in it."""
    joined = settings["class names"]
    names = list(expected) if joined == "; ".join(expected) else joined.split("; ")
    if len(names) != settings["classes"]:
        raise CheckpointError(f"{path} is of {settings['classes']} classes, but names {len(names)}, perhaps since a "
                              "name has a semicolon in it; such a network can only be used with the very classes that "
                              "it was trained on")
    return names


def _scaling(path: Any, settings: Mapping[str, Any], data: Any, statistics: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the settings say; otherwise, or with ``statistics``, what the example takes from a pack."""
    try:
        told = from_settings(settings) if statistics is None else None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return told or normalisation(data if statistics is None else statistics, settings["variant"], settings["init"])


def same_classes(networks: Sequence[Trained]) -> list[str]:
    """The classes of all ``networks``.  Raises CheckpointError if they differ: then there is nothing to average."""
    first = networks[0]
    for other in networks[1:]:
        if other.classes != first.classes:
            raise CheckpointError(f"{other.name} knows other classes than {first.name}: "
                                  f"{_first_difference(other.classes, first.classes)}; evaluate them one by one")
    return first.classes


def _first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    if len(one) != len(other):
        return f"{len(one)} classes, not {len(other)}"
    at = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"class {at} is {one[at]!r}, not {other[at]!r}"


def evaluate_trained(networks: Sequence[Trained], split: ImageSplit, *, ten_crop: bool = False, batch: int = 128,
                     workers: int = 1, after_batch: Callable[[Result], None] | None = None,
                     ) -> dict[tuple[str, str], Tally]:
    """Evaluate each network, and all together, on every image of ``split``, whose labels number their classes.

    Together they guess by the mean of their class probabilities, as the five networks of the 2012 paper did.

    Args:
        ten_crop: also average over ten crops of each photo; the central crop, which is one of them, is told as well.
        batch: crops in a batch.
        workers: of the loader, for each way in which networks want their photos.
        after_batch: is called with the sums so far (of the last line of the result).

    Returns, in this order, a tally for each (name, crops): the networks by name, then, if there are several,
    ("ensemble of N", ...); crops is "centre", then "ten crops" if asked for.

    Raises SampleError: a photo could not be prepared; ValueError: no images, or scores that are not numbers."""
    classes = same_classes(networks)
    names = [network.name for network in networks] + [f"ensemble of {len(networks)}"] * (len(networks) > 1)
    views = ["centre", "ten crops"] if ten_crop else ["centre"]
    tallies = {(name, view): Tally(len(classes)) for name in names for view in views}
    if len(tallies) < len(names) * len(views):
        raise ValueError("a checkpoint is named twice; its network would count twice in the ensemble")
    with evaluating(*(network.model for network in networks)):
        for seen, labels in _predictions(networks, split, ten_crop, batch, workers):
            for view in views:
                each = [mean_log_probability(p if view != "centre" else p[:, CENTRE:CENTRE + 1] if ten_crop else p, 1)
                        for p in seen]
                together = [mean_log_probability(np.stack(each), axis=0)] * (len(networks) > 1)
                for name, log_probability in zip(names, each + together, strict=True):
                    _count(tallies[name, view], log_probability, labels, name)
            if after_batch:
                after_batch(tallies[names[-1], views[-1]])
    return tallies


def _count(tally: Tally, log_probability: np.ndarray, labels: np.ndarray, name: str) -> None:
    try:
        tally.add_log_probability(log_probability, labels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _predictions(networks: Sequence[Trained], split: ImageSplit, ten_crop: bool, batch: int, workers: int,
                 ) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """For each batch of photos: of each network the (n, crops, K) logarithms of probabilities; and the labels (n,)."""
    crops = 10 if ten_crop else 1
    ways = [(n.resize, n.crop, tuple(n.mean), tuple(n.std), n.device) for n in networks]
    loaders = {way: Loader(split, max(1, batch // crops), network.transform(ten_crop), shuffle=False, seed=0,
                           workers=workers, empty=network.device.staging)
               for way, network in zip(ways, networks, strict=True)}
    with ExitStack() as stack:
        epochs: list[Iterator[Batch]] = []
        for loader in loaders.values():  # their workers end with the last batch, or the first error
            epochs.append(stack.enter_context(loader).epoch(0))
            if isinstance(epochs[-1], Generator):
                stack.callback(epochs[-1].close)
        for batches in zip(*epochs, strict=True):
            images = {way: photos for way, (photos, _) in zip(loaders, batches, strict=True)}
            labels = batches[0][1]
            yield ([predict(network.model, images[way], network.device, crops)
                    for way, network in zip(ways, networks, strict=True)], labels)
