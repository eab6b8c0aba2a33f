"""Splits and transforms for the tests of the loader that worker processes can import."""

import io
import os
import signal
import time

import numpy as np
from PIL import Image

from tinyconv.data.transforms import EvalTransform, RandomResizedCrop, TrainTransform

MEAN, STD = np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
COLOUR = {"color_noise": 0.1, "eigenvalues": np.array([0.2, 0.1, 0.01]), "eigenvectors": np.eye(3)}
TRAIN = TrainTransform(12, 8, MEAN, STD, **COLOUR)
EVAL = EvalTransform(12, 8, MEAN, STD)
TEN_CROPS = EvalTransform(12, 8, MEAN, STD, ten_crop=True)
RESIZED_CROP = RandomResizedCrop(8, MEAN, STD, **COLOUR)


def photo(index: int) -> np.ndarray:
    """Pixels of a size and with colours of their own; most have the short side 12, some do not."""
    shape = [(12, 16), (17, 12), (12, 12), (31, 26), (9, 11)][index % 5]
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([9 * y + index, 7 * x + 3 * index, 5 * (x + y)], axis=2).astype(np.uint8)


class Files:
    """PNG and JPEG files, made when asked for."""

    def __init__(self, n: int = 23) -> None:
        self.labels = np.arange(n, dtype=np.int64) % 4

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, index: int) -> bytes | None:
        buffer = io.BytesIO()
        Image.fromarray(photo(index)).save(buffer, "JPEG" if index % 2 else "PNG")
        return buffer.getvalue()

    def image(self, index: int) -> np.ndarray:
        raise AssertionError("the files are enough")

    def name(self, index: int) -> str:
        return f"photo {index}"


class Pixels(Files):
    """The same, stored as pixels."""

    def encoded(self, index: int) -> None:
        return None

    def image(self, index: int) -> np.ndarray:
        return photo(index)


class Broken(Files):
    """File 13 is no image."""

    def encoded(self, index: int) -> bytes | None:
        return b"" if index == 13 else super().encoded(index)


class Slow(Files):
    """A tenth of a second for each file."""

    def encoded(self, index: int) -> bytes | None:
        time.sleep(0.1)
        return super().encoded(index)


class Deadly(Files):
    """Whoever reads file 13 dies of `number`; but not the process `spare`."""

    def __init__(self, number: int, spare: int) -> None:
        super().__init__()
        self.number, self.spare = number, spare

    def encoded(self, index: int) -> bytes | None:
        if index == 13 and os.getpid() != self.spare:
            os.kill(os.getpid(), self.number)
        return super().encoded(index)


class Unimportable(Files):
    """Cannot be made in another process."""

    def __reduce__(self) -> tuple:
        return _refuse, ()


def _refuse() -> None:
    raise FileNotFoundError("the pack has moved")


class Reporter(Files):
    """Reads files called after what the process has loaded: the name is its error."""

    def encoded(self, index: int) -> bytes | None:
        import sys

        heavy = {"numba", "llvmlite", "torch", "cupy", "scipy", "matplotlib"} & set(sys.modules)
        threads = len(os.listdir("/proc/self/task"))
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        raise RuntimeError(f"heavy {sorted(heavy)}, {threads} threads, SIGINT ignored {ignored}")
