"""A pack of noisy colours, for the tests of the comparison of accuracies."""

from pathlib import Path

import numpy as np
from PIL import Image

from tinyconv.data.pack import pack


def make(folder: Path) -> Path:
    """A pack of 6 classes, whose photos have a colour each; 24 to train with and 18 to validate with."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for label in range(6):
            for number in range(count):
                path = folder / "photos" / split / f"class {label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                colour = np.array([50 * (label % 3), 60 * (label // 3), 100])
                height, width = (70, 70 + number) if label % 2 else (80, 75)
                pixels = np.clip(colour + random.normal(0, 40, (height, width, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    pack(folder / "photos", folder / "photos.h5", storage="encoded", progress=False)
    return folder / "photos.h5"
