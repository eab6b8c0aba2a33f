"""Batches, prepared by threads ahead of the training step that uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from .dataset import ImageSplit
from .errors import SampleError
from .randomness import ORDER, generator
from .squares import Squares
from .transforms import Draws, Transform

Batch = tuple[np.ndarray, np.ndarray]


class Loader:
    """Iterates over a split in batches. What it yields depends on `seed` and epoch only, not on `workers`.

    split      the images: `Pack.split("train")`, say
    batch      images in a batch; the last one of an epoch may be smaller, or is left out with drop_last
    transform  a `TrainTransform` or `EvalTransform`
    shuffle    a new order every epoch
    workers    threads, each preparing whole batches (Pillow and NumPy run without Python's lock); 0 prepares
               a batch when it is asked for. At most workers + 1 batches are ahead of the consumer.
    empty      allocates the images: `empty(shape, numpy.float32)`, called by the consumer's thread; a memory
               pool's allocator, perhaps

    Raises ValueError: an argument out of range, or no batch at all.
    """

    def __init__(self, split: ImageSplit, batch: int, transform: Transform, *, shuffle: bool, seed: int,
                 workers: int = 1, drop_last: bool = False, empty: Callable[..., np.ndarray] = np.empty):
        if batch < 1 or workers < 0 or seed < 0:
            raise ValueError(f"batch {batch} must be at least 1, "
                             f"workers {workers} and seed {seed} at least 0")
        self.split, self.batch, self.transform = split, batch, transform
        self.shuffle, self.seed, self.workers, self.drop_last = shuffle, seed, workers, drop_last
        self._empty = empty
        self._squares = Squares(split, transform.resize)
        if not len(self):
            raise ValueError(f"the split has {len(split)} images: no batch of {batch}; use a smaller batch, "
                             "or drop_last=False")

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.split), self.batch)
        return whole + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> np.ndarray:
        """(N,) int64: the indices of the images in the order of this epoch."""
        count = len(self.split)
        return generator(self.seed, epoch, ORDER).permutation(count) if self.shuffle else np.arange(count)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches number `start`, start + 1, ... of an epoch, as (images, labels).

        images  (n, 3, H, W) float32, channels-last in memory: a transposed view of a contiguous (n, H, W, 3)
                array. With ten crops, 10 n rows: the ten of the first image, then those of the second ...
        labels  (n,) int64

        The consumer may keep both. Leaving the loop early stops the threads. Raises ValueError: no such epoch
        or start; SampleError, while iterating: an image could not be prepared.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}; the epoch has batches 0..{len(self) - 1}")
        order = self.order(epoch)
        draws = self.transform.draw(self.seed, epoch, len(self.split))
        chosen = (order[i * self.batch : (i + 1) * self.batch] for i in range(start, len(self)))
        return self._ahead(chosen, draws) if self.workers else (
            self._prepare(indices, self._allocate(indices), draws) for indices in chosen)

    def _ahead(self, chosen: Iterator[np.ndarray], draws: Draws | None) -> Iterator[Batch]:
        pending: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="tinyconv-loader")
        try:
            for indices in chosen:
                pending.append(pool.submit(self._prepare, indices, self._allocate(indices), draws))
                if len(pending) > self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # also when the consumer breaks out of its loop, which closes this generator
            pool.shutdown(wait=True, cancel_futures=True)

    def _allocate(self, indices: np.ndarray) -> np.ndarray:
        side = self.transform.crop
        return self._empty((len(indices) * self.transform.rows, side, side, 3), np.float32)

    def _prepare(self, indices: np.ndarray, images: np.ndarray, draws: Draws | None) -> Batch:
        rows = self.transform.rows
        for place, index in enumerate(indices.tolist()):
            out = images[place * rows : (place + 1) * rows]
            try:
                self.transform.apply(self._squares[index], out, draws, index)
            except Exception as error:
                raise SampleError(f"image {index}, {self.split.name(index)}: {error}") from error
        return images.transpose(0, 3, 1, 2), self.split.labels[indices]
