"""Make fashion-mnist.h5, the pack that tinyconv brings along, from Debian's package dataset-fashion-mnist.

    python -m tinyconv.data.embedded.make_fashion_mnist /usr/share/datasets/fashion-mnist OUT.h5

Takes the first images of every class, in the official order: 1,400 of the training set, 200 of the test set
("val").
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np

from ..errors import PackError
from ..writer import write_pack

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
           "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PARTS = {"train": ("train", 1400), "val": ("t10k", 200)}  # split: file name's beginning, images a class
PROVENANCE = ("Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist), Debian package "
              f"dataset-fashion-mnist; the first {PARTS['train'][1]} training and {PARTS['val'][1]} test images "
              "of each class, the latter as val")


def read_idx(path: Path) -> np.ndarray:
    """The array in a gzipped IDX file: two zero bytes, type 8 (uint8), rank, sizes as big-endian int32, data.

    Raises PackError: no such file, or not of this kind.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise PackError(f"cannot read {path}: {error}; install Debian's dataset-fashion-mnist") from error
    if data[:3] != b"\0\0\x08":
        raise PackError(f"{path} is no IDX file of bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """The indices of the first `count` images of every class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(len(CLASSES))]))


def make(folder: Path, out: Path) -> None:
    """Write the pack `out` from the four IDX files in `folder`. Raises PackError."""
    licence = Path(__file__).with_name("LICENSE.fashion-mnist").read_text(encoding="utf-8")
    with write_pack(out, classes=CLASSES, provenance=PROVENANCE, licence=licence) as writer:
        for split, (name, count) in PARTS.items():
            images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
            labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
            for index in first_of_each_class(labels, count):
                writer.add(split, int(labels[index]), f"{name}/{index:05d}", images[index])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the package puts its *-ubyte.gz files")
    parser.add_argument("out", type=Path, help="the pack to write")
    options = parser.parse_args()
    try:
        make(options.folder, options.out)
    except PackError as error:
        print(f"make_fashion_mnist: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
