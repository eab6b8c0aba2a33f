"""Batches, prepared by processes ahead of the training step that uses them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np

from .cutter import Cutter
from .dataset import ImageSplit
from .randomness import ORDER, generator
from .shared import SharedImages
from .squares import KEEP, Squares
from .stock import Fresh, Kept, Ring, Stock
from .team import Team, WorkerError
from .transforms import AnyDraws, Transform

Batch = tuple[np.ndarray, np.ndarray]


class Loader:
    """Iterates over a split in batches. What it yields depends on `seed` and epoch only, not on `workers`.

    split      the images: `Pack.split("train")`, say
    batch      images in a batch; the last one of an epoch may be smaller, or is left out with drop_last
    transform  a `TrainTransform`, `RandomResizedCrop` or `EvalTransform`
    shuffle    a new order every epoch
    workers    processes that decode, from the first epoch on until `close()`, the end of the loader or of the program;
               0 prepares a batch when it is asked for. At most workers + 1 batches of bytes are ahead of the
               consumer, and one of floats
    keep       bytes for decoded images (1 GiB). If all central squares of the split, brought to the transform's size,
               need no more, they are made once and kept: files need the workers for one epoch only, and images
               that are stored as pixels need none. 0 keeps nothing.
    empty      allocates the images: `empty(shape, numpy.float32)`, called by the consumer's thread; a memory
               pool's allocator, perhaps

    Raises ValueError: an argument out of range, or no batch at all.
    """

    def __init__(self, split: ImageSplit, batch: int, transform: Transform, *, shuffle: bool, seed: int,
                 workers: int = 1, drop_last: bool = False, empty: Callable[..., np.ndarray] = np.empty,
                 keep: int = KEEP):
        if batch < 1 or min(workers, seed, keep) < 0:
            raise ValueError(f"batch {batch} must be at least 1, "
                             f"workers {workers}, seed {seed} and keep {keep} at least 0")
        self.split, self.batch, self.transform = split, batch, transform
        self.shuffle, self.seed, self.workers, self.drop_last = shuffle, seed, workers, drop_last
        self._empty = empty
        if not len(self):
            raise ValueError(f"the split has {len(split)} images: no batch of {batch}; use a smaller batch, "
                             "or drop_last=False")
        side = transform.square
        self._squares = Squares(len(split), side) if side and Squares.bytes(len(split), side) <= keep else None
        self._cutter = Cutter(split, transform, squares=self._squares is not None)
        self._teams: weakref.WeakSet[Team] = weakref.WeakSet()
        self._idle: list[tuple[Team, SharedImages]] = []  # more than one if several epochs ran at a time

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.split), self.batch)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers, at work or waiting for the next epoch."""
        return [pid for team in self._teams if team.usable for pid in team.pids]

    def close(self) -> None:
        """End the workers. Not necessary; the next epoch starts others."""
        while self._idle:
            self._idle.pop()[0].close()

    def order(self, epoch: int) -> np.ndarray:
        """(N,) int64: the indices of the images in the order of this epoch."""
        count = len(self.split)
        return generator(self.seed, epoch, ORDER).permutation(count) if self.shuffle else np.arange(count)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches number `start`, start + 1, ... of an epoch, as (images, labels).

        images  (n, 3, H, W) float32, channels-last in memory: a transposed view of a contiguous (n, H, W, 3)
                array. With ten crops, 10 n rows: the ten of the first image, then those of the second ...
        labels  (n,) int64

        The consumer may keep both. Raises ValueError: no such epoch or start. While iterating: SampleError, an image
        could not be prepared; WorkerError (a SampleError), a worker has died.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}; the epoch has batches 0..{len(self) - 1}")
        order = self.order(epoch)
        draws = self.transform.draw(self.seed, epoch, len(self.split))
        chosen = [order[i * self.batch : (i + 1) * self.batch] for i in range(start, len(self))]
        if self.workers:
            return self._ahead(chosen, draws)
        return self._prepared(_Epoch(self._stock(None, draws), chosen, 0, nullcontext()), chosen)

    def _prepared(self, epoch: _Epoch, chosen: list[np.ndarray]) -> Iterator[Batch]:
        for k, indices in enumerate(chosen):
            yield self._batch(epoch.prepare(k, self._allocate(indices)), indices)

    def _ahead(self, chosen: list[np.ndarray], draws: AnyDraws | None) -> Iterator[Batch]:
        """One thread waits for the workers and makes floats, while the consumer uses the batch before."""
        hired = self._hire() if chosen else None
        turn = hired[0].turn if hired else nullcontext()
        epoch = _Epoch(self._stock(hired, draws), chosen, self.workers + 1, turn)
        pending: deque[Future[np.ndarray]] = deque()
        thread = ThreadPoolExecutor(1, thread_name_prefix="tinyconv-loader")
        try:
            for k, indices in enumerate(chosen):
                pending.append(thread.submit(epoch.prepare, k, self._allocate(indices)))
                if k:
                    yield self._batch(pending.popleft().result(), chosen[k - 1])
            if pending:
                yield self._batch(pending.popleft().result(), chosen[-1])
        finally:  # also when the consumer breaks out of its loop, which closes this generator
            if hired:
                hired[0].stop()
            thread.shutdown(wait=True, cancel_futures=True)
            if hired and hired[0].usable:
                # Nobody needs a worker that died; the next epoch has another team.  A thread that Ctrl-C met while it
                # began is not waited for above.
                with suppress(WorkerError), turn:
                    hired[0].drop()
                    self._idle.append(hired)

    def _hire(self) -> tuple[Team, SharedImages] | None:
        """A team that waits, or a new one; None if there is nothing for it to do."""
        if self._squares and (self._squares.ready.all() or not self._cutter.decodes):
            return None
        while self._idle:
            hired = self._idle.pop()
            if hired[0].usable:
                return hired
        side = self._cutter.side
        memory = self._squares.memory if self._squares else SharedImages(
            ((self.workers + 1) * self.batch, side, side, 3))
        team = Team(self._cutter, memory, self.workers)
        self._teams.add(team)
        return team, memory

    def _stock(self, hired: tuple[Team, SharedImages] | None, draws: AnyDraws | None) -> Stock:
        if self._squares:
            return Kept(self._squares, self._cutter, hired[0] if hired else None, self.transform, draws)
        if hired:
            return Ring(*hired, self.batch, self.transform, draws)
        return Fresh(self._cutter, self.transform, draws)

    def _allocate(self, indices: np.ndarray) -> np.ndarray:
        side = self.transform.crop
        return self._empty((len(indices) * self.transform.rows, side, side, 3), np.float32)

    def _batch(self, images: np.ndarray, indices: np.ndarray) -> Batch:
        return images.transpose(0, 3, 1, 2), self.split.labels[indices]


class _Epoch:
    """Has batches prepared in their order, and the stock told of as many as may be ahead."""

    def __init__(self, stock: Stock, chosen: list[np.ndarray], ahead: int, turn: AbstractContextManager[Any]):
        self._stock, self._chosen, self._ahead, self._turn = stock, chosen, ahead, turn
        self._told = 0

    def prepare(self, k: int, images: np.ndarray) -> np.ndarray:
        """Fill `images` with batch k."""
        with self._turn:
            self._tell(k + self._ahead)
            self._stock.fill(k, self._chosen[k], images)
            self._tell(k + 1 + self._ahead)
        return images

    def _tell(self, end: int) -> None:
        while self._told < min(end, len(self._chosen)):
            self._stock.expect(self._told, self._chosen[self._told])
            self._told += 1
