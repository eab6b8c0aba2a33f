"""How many images per second the loader delivers, beside torchvision's transforms on PyTorch's DataLoader.

    python -m benchmarks.loading                      # photos of ../shared/data/imagenet-photos-200.tar
    python -m benchmarks.loading --photos photos.tar --workers 1 2 4

Two packs are made of the photos: as they are, and with short sides of 256 pixels.  Both sides read the same bytes from
memory, decode every image of every epoch with the same Pillow, make the same kind of 224-pixel input with the same
number of worker processes, and take turns; the consumer does nothing but take the batches.  torchvision itself is not
needed: its transforms are written out below, call by call, as its version 0.2x does them on Pillow's images.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinyconv.data import Loader, Pack, TrainTransform
from tinyconv.data.pack import pack
from tinyconv.data.transforms import RandomResizedCrop

from .arguments import positive
from .machine import describe, versions

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "imagenet-photos-200.tar"
RESIZE, CROP = 256, 224
TRANSFORMS = ("paper", "resized-crop")
GOALS = {"256": 1.5, "full": 1.2}


class Photos:
    """The encoded photos of a pack, `times` over: an epoch long enough to time.  A split of the loader's, and the data
    that the DataLoader's side reads."""

    def __init__(self, encoded: list[bytes], times: int) -> None:
        self.files, self.times = encoded, times
        self.labels = np.zeros(len(encoded) * times, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, index: int) -> bytes:
        return self.files[index % len(self.files)]

    def image(self, index: int) -> np.ndarray:
        raise NotImplementedError("all are encoded")

    def name(self, index: int) -> str:
        return f"photo {index}"


class TorchvisionLike:
    """A data set for PyTorch's DataLoader: ``default_loader`` and the usual ``Compose`` of transforms."""

    def __init__(self, photos: Photos, transform: str, statistics: Pack) -> None:
        import torch

        self.photos, self.resized_crop = photos, transform == "resized-crop"
        self.mean, self.std = (torch.tensor(values / 255, dtype=torch.float32).view(3, 1, 1)
                               for values in (statistics.mean, statistics.std))
        self.values = torch.tensor(statistics.eigenvalues, dtype=torch.float32)
        self.vectors = torch.tensor(statistics.eigenvectors, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Any:
        image = Image.open(io.BytesIO(self.photos.encoded(index))).convert("RGB")
        image = self._random_resized_crop(image) if self.resized_crop else self._random_crop(_resize(image))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = _to_tensor(image)
        if not self.resized_crop:
            tensor = tensor.add(self._lighting())
        return tensor.clone().sub_(self.mean).div_(self.std), int(self.photos.labels[index])  # Normalize

    def _random_crop(self, image: Image.Image) -> Image.Image:
        top, left = random.randint(0, image.height - CROP), random.randint(0, image.width - CROP)
        return image.crop((left, top, left + CROP, top + CROP))

    def _random_resized_crop(self, image: Image.Image) -> Image.Image:
        for _ in range(10):
            area = image.width * image.height * random.uniform(0.08, 1)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= image.width and 0 < h <= image.height:
                break
        else:
            w, h = min(image.size), min(image.size)
        top, left = random.randint(0, image.height - h), random.randint(0, image.width - w)
        return image.crop((left, top, left + w, top + h)).resize((CROP, CROP), Image.Resampling.BILINEAR)

    def _lighting(self) -> Any:
        import torch

        alpha = torch.normal(0.0, 0.1, (3,))
        return (self.vectors * alpha * self.values).sum(1).view(3, 1, 1)


def _resize(image: Image.Image) -> Image.Image:
    short = min(image.size)
    if short == RESIZE:
        return image
    return image.resize((int(RESIZE * image.width / short), int(RESIZE * image.height / short)),
                        Image.Resampling.BILINEAR)


def _to_tensor(image: Image.Image) -> Any:
    import torch

    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(image.height, image.width, 3)
    return pixels.permute((2, 0, 1)).contiguous().to(dtype=torch.float32).div(255)


def make_packs(photos: Path, folder: Path) -> dict[str, Path]:
    """The photos of a tar as two packs.  Raises PackError or OSError: they cannot be read."""
    source = folder / "photos"
    with tarfile.open(photos) as tar:
        members = [m for m in tar if m.isfile() and m.name.lower().endswith((".jpg", ".jpeg", ".png"))]
        for number, member in enumerate(members):
            stored = tar.extractfile(member)
            assert stored
            path = source / "all" / f"{number:06d}{Path(member.name).suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stored.read())
    packs = {"256": folder / "256.h5", "full": folder / "full.h5"}
    pack(source, packs["256"], resize=RESIZE, storage="encoded", progress=False)
    pack(source, packs["full"], storage="encoded", progress=False)
    return packs


def sides(photos: Photos, transform: str, data: Pack, batch: int, workers: int) -> dict[str, Callable[[int], Iterable]]:
    """What gives the batches of an epoch: tinyconv's loader and PyTorch's."""
    from torch.utils.data import DataLoader

    ours: Any = RandomResizedCrop(CROP, data.mean, data.std) if transform == "resized-crop" else TrainTransform(
        RESIZE, CROP, data.mean, data.std, color_noise=0.1, eigenvalues=data.eigenvalues,
        eigenvectors=data.eigenvectors)
    theirs = DataLoader(TorchvisionLike(photos, transform, data), batch, shuffle=True,  # type: ignore[arg-type]
                        num_workers=workers, persistent_workers=workers > 0)
    loader = Loader(photos, batch, ours, shuffle=True, seed=0, workers=workers, keep=0)
    return {"torch": lambda epoch: theirs, "tinyconv": loader.epoch}


def rate(batches: Iterable, count: int) -> float:
    """Images per second of an epoch."""
    begin = time.perf_counter()
    seen = sum(len(labels) for _, labels in batches)
    assert seen == count, f"{seen} of {count} images"
    return count / (time.perf_counter() - begin)


def measure(photos: Photos, transform: str, data: Pack, batch: int, workers: int,
            rounds: int) -> dict[str, list[float]]:
    """Images per second of each side in each round, after an epoch that starts the workers."""
    both = sides(photos, transform, data, batch, workers)
    for side in both.values():
        rate(side(0), len(photos))
    rates: dict[str, list[float]] = {name: [] for name in both}
    for epoch in range(1, rounds + 1):
        for name, side in both.items():
            rates[name].append(rate(side(epoch), len(photos)))
    return rates


def table(results: list[dict[str, Any]]) -> str:
    lines = [f"{'pack':<6} {'transform':<13} {'workers':>7} {'torch':>9} {'tinyconv':>9} {'times':>6}   goal"]
    for line in results:
        goal = f"{line['goal']:.1f}" if line["goal"] else "-"
        lines.append(f"{line['pack']:<6} {line['transform']:<13} {line['workers']:>7} {line['torch']:>9.0f} "
                     f"{line['tinyconv']:>9.0f} {line['times']:>6.2f}   {goal}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a tar of photos (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--packs", nargs="+", choices=GOALS, default=list(GOALS), help="(default: all)")
    parser.add_argument("--transforms", nargs="+", choices=TRANSFORMS, default=list(TRANSFORMS), help="(default: all)")
    parser.add_argument("--batch", type=positive, default=128, help="(default: %(default)s)")
    parser.add_argument("--images", type=positive, default=1600, help="of an epoch, about (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=7, help="epochs of each side (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/loading"), help="(default: %(default)s)")
    args = parser.parse_args(arguments)
    if not args.photos.is_file():
        print(f"error: {args.photos} is not there; --photos names a tar of photos", file=sys.stderr)
        return 1
    try:
        import torch
    except ImportError:
        print("error: PyTorch is not installed; make torch", file=sys.stderr)
        return 1
    torch.set_num_threads(1)  # workers=0 would otherwise compute on all cores
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in make_packs(args.photos, Path(folder)).items():
            if name not in args.packs:
                continue
            data = Pack(path)
            split = data.split("train")
            encoded = [bytes(split.encoded(index) or b"") for index in range(len(split))]
            photos = Photos(encoded, math.ceil(args.images / len(encoded)))
            for transform in args.transforms:
                for workers in args.workers:
                    rates = measure(photos, transform, data, args.batch, workers, args.rounds)
                    middle = {side: statistics.median(values) for side, values in rates.items()}
                    # Neighbours in time are compared: a busy minute of the machine falls on both.
                    times = statistics.median(map(lambda a, b: a / b, rates["tinyconv"], rates["torch"]))
                    goal = GOALS[name] if workers and transform == "paper" else None
                    results.append({"pack": name, "transform": transform, "workers": workers, **middle,
                                    "times": times, "goal": goal, "rates": rates})
                    print(table(results[-1:]).splitlines()[-1], flush=True)
    print("\n" + table(results))
    args.out.mkdir(parents=True, exist_ok=True)
    numbers = {"machine": describe(), "versions": versions(), "batch": args.batch, "results": results}
    (args.out / "loading.json").write_text(json.dumps(numbers, indent=1))
    print(f"\nimages/s, medians of {args.rounds}; see {args.out / 'loading.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
