"""What the network takes for what: the worst classes, and photos of theirs that it got wrong."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import device as find_device
from ..data import Loader, Pack, PackError, SampleError, SyntheticData
from ..data.selection import Selection
from ..training.checkpoint import CheckpointError
from ..training.evaluation import evaluating, mean_log_probability, predict
from ..training.matching import known_images
from ..training.progress import Progress
from ..training.tally import Confusion, Tally, first_guess
from ..training.trained import Trained, load_trained
from .charts import data_uri
from .run import Run

WORST, EXAMPLES, SIDE = 10, 6, 96  # classes, photos of each, pixels of a photo


class MistakesUnavailable(Exception):
    """Why they cannot be shown."""


@dataclass
class Example:
    """A photo (a ``data:`` URI) that was taken for ``guess``, with that probability, 0 to 1."""

    picture: str
    guess: str
    probability: float


@dataclass
class WorstClass:
    """``right`` of the ``images`` of a class are guessed right; the others are often taken for (class, how often)."""

    name: str
    images: int
    right: int
    taken_for: list[tuple[str, int]]
    examples: list[Example]


@dataclass
class Mistakes:
    """Of ``images`` of the ``available`` validation images, by the network of ``checkpoint``."""

    checkpoint: str
    images: int
    available: int
    tally: Tally
    classes: list[str]
    worst: list[WorstClass]
    pairs: list[Confusion]


def find_mistakes(run: Run, most: int, pack: Path | None, device: str, workers: int) -> Mistakes:
    """Try the run's best network on at most ``most`` validation images; see :func:`open_images` for ``pack``.

    Raises MistakesUnavailable if there is no network or no data."""
    if run.best is None:
        raise MistakesUnavailable("the run has no whole checkpoint yet")
    try:
        data = open_images(run, pack)
        network = load_trained(run.best, data, [find_device(device)])
        whole = known_images(data.split("val"), data.classes, network.classes)
        chosen = np.unique(np.linspace(0, len(whole) - 1, min(most, len(whole))).round().astype(np.int64))
        split = Selection(whole, chosen)
        log_probability = _predict(network, split, workers)
    except (CheckpointError, PackError, SampleError, KeyError, ValueError, OSError) as error:
        raise MistakesUnavailable(str(error)) from error
    tally = Tally(len(network.classes))
    tally.add_log_probability(log_probability, split.labels)
    return Mistakes(str(run.best), len(split), len(whole), tally, network.classes,
                    _worst(network.classes, split, log_probability, tally), tally.confused(WORST))


def open_images(run: Run, pack: Path | None) -> Any:
    """The images that the run was trained with: those of ``pack``, if it is given, or what run.json says.  A pack that
    has moved together with the run is found beside it.  Raises MistakesUnavailable if they are not to be found."""
    about = run.record["data"]
    if pack is not None:
        return Pack(pack)
    if how := about.get("synthetic"):
        return SyntheticData(size=how["size"], seed=how["seed"])
    if not about.get("pack"):
        raise MistakesUnavailable("run.json does not say where the images are; name the pack with --data")
    named = Path(about["pack"])
    for path in (named, run.folder / named.name):
        if path.exists():
            return Pack(path)
    raise MistakesUnavailable(f"the images are no longer at {named}; name the pack with --data")


def _predict(network: Trained, split: Selection, workers: int) -> np.ndarray:
    """(N, classes): logarithms of the probabilities, for the central crops."""
    loader = Loader(split, 64, network.transform(False), shuffle=False, seed=0, workers=workers,
                    empty=network.device.staging)
    found: list[np.ndarray] = []
    tally = Tally(len(network.classes))
    with evaluating(network.model), loader, Progress("validation", len(split), 0, every=50) as progress:
        for images, labels in loader.epoch(0):
            found.append(mean_log_probability(predict(network.model, images, network.device), axis=1))
            tally.add_log_probability(found[-1], labels)
            progress.update(tally)
    return np.concatenate(found)


def _worst(classes: list[str], split: Selection, log_probability: np.ndarray, tally: Tally) -> list[WorstClass]:
    """The classes with the smallest share of hits, of those that have images and mistakes."""
    images, right = tally.class_images, tally.class_top1
    wrong = [int(label) for label in np.flatnonzero(images) if right[label] < images[label]]
    order = sorted(wrong, key=lambda label: (right[label] / images[label], label))[:WORST]
    guesses = first_guess(log_probability, split.labels)
    found = []
    for label in order:
        row = tally.confusion[label].copy()
        row[label] = 0
        others = [int(guess) for guess in np.argsort(-row, kind="stable")[:3] if row[guess]]
        found.append(WorstClass(classes[label], int(images[label]), int(right[label]),
                                [(classes[guess], int(row[guess])) for guess in others],
                                _examples(classes, split, log_probability, guesses, label)))
    return found


def _examples(classes: list[str], split: Selection, log_probability: np.ndarray, guesses: np.ndarray,
              label: int) -> list[Example]:
    """Of the images of this class, those that the network is surest to be of another."""
    missed = np.flatnonzero((split.labels == label) & (guesses != label))
    surest = missed[np.argsort(-log_probability[missed, guesses[missed]], kind="stable")][:EXAMPLES]
    examples = []
    for index in surest.tolist():
        try:
            picture = _thumbnail(split.image(index))
        except SampleError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        guess = int(guesses[index])
        examples.append(Example(picture, classes[guess], float(np.exp(log_probability[index, guess]))))
    return examples


def _thumbnail(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 as a JPEG whose long side is SIDE pixels."""
    from PIL import Image

    image = Image.fromarray(pixels)
    scale = SIDE / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return data_uri(file.getvalue(), "jpeg")
