"""The training loop."""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from .. import functional as F
from ..data.loader import Loader
from ..nn import Module
from ..optim import SGD, Schedule, clip_grad_norm_, total_norm
from ..safefile import make_folder, only_user_of, write_text
from ..tensor import tensor
from . import checkpoint
from .evaluation import Result, evaluate
from .pictures import curves
from .progress import Progress
from .watch import LossWatch

_REMEDY = ("the last checkpoint is intact.  Try a lower learning rate (--lr), gradient clipping (--clip-norm) or a "
           "warm-up (--warmup)")


class Interrupted(Exception):
    """The user stopped the run; it was saved first."""


class TrainingError(RuntimeError):
    """The run cannot go on.  Its last checkpoint is intact."""


class Trainer:
    """Trains a model, epoch by epoch: a step for each batch, then validation, a line in the log, curves and a
    checkpoint.

    Writes ``log.jsonl``, ``curves.png`` and ``checkpoint.h5`` to the folder ``out``.

    Args:
        model, optimizer, schedule: what is trained and how; all on the devices where they already are.
        train, validation: loaders.
        out: the folder of the run; made if it does not exist.
        clip_norm: the largest norm of all gradients together; None for no limit.
        label_smoothing: see ``functional.cross_entropy``.
        limit_batches: do only so many batches of each epoch, and of each validation; for a quick try.
        save_minutes: write a checkpoint at least so often, besides the one after each epoch.
        print_freq: batches between two reports.
        settings: what must be the same when the run is resumed.
        may_change: what need not, but is told if it is not.
    """

    def __init__(self, model: Module, optimizer: SGD, schedule: Schedule, train: Loader, validation: Loader,
                 classes: int, out: str | Path, *, clip_norm: float | None = None, label_smoothing: float = 0.0,
                 limit_batches: int | None = None, save_minutes: float = 5.0, print_freq: int = 20,
                 settings: dict[str, Any] | None = None, may_change: dict[str, Any] | None = None) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.train, self.validation, self.out = train, validation, Path(out)
        self.clip_norm, self.label_smoothing = clip_norm, label_smoothing
        self.save_seconds, self.print_freq = 60 * save_minutes, print_freq
        self.limit = limit_batches
        self.batches = len(train) if limit_batches is None else min(limit_batches, len(train))
        self.device = optimizer.parameters[0].device
        self.settings = {**(settings or {}), "batch": train.batch, "training images": len(train.split),
                         "classes": classes, "batches in an epoch": self.batches}
        self.may_change = may_change or {}
        self.watch = LossWatch(classes)
        self.history: list[dict[str, Any]] = []
        self.epoch = self.batch = 0  # the next batch to do
        self.result, self.seconds = Result(), 0.0  # of this epoch so far
        self._stop: list[int] = []  # signals that asked for an end
        make_folder(self.out)

    @property
    def checkpoint_path(self) -> Path:
        return self.out / "checkpoint.h5"

    def resume(self, path: str | Path | None = None) -> None:
        """Go on where the checkpoint ``path`` (by default this folder's) was written.

        Raises CheckpointError if that is no checkpoint of this network, data and settings."""
        state = checkpoint.restore(path or self.checkpoint_path, self.model, self.optimizer, self.schedule,
                                   self.settings)
        try:
            self.epoch, self.batch, self.seconds = (state["position"][name] for name in ("epoch", "batch", "seconds"))
            self.result = Result(**{name: state["position"][name] for name in vars(Result())})
            self.watch.batches, self.watch.mean = (state["position"][f"watched_{name}"] for name in ("batches", "mean"))
        except KeyError as error:
            raise checkpoint.CheckpointError(f"the checkpoint is damaged: its position has no {error}") from error
        self.history = state["history"]
        print(f"going on after {self.epoch} epochs and {self.batch} batches")
        for name, value in self.may_change.items():
            if (before := state["may change"].get(name)) != value:
                print(f"changed since the checkpoint: {name} was {before}, now {value}")

    def save(self) -> None:
        """Write the checkpoint.  Raises TrainingError, and leaves the last one, if a weight is no longer a number."""
        if not math.isfinite(total_norm(self.optimizer.parameters)):
            raise TrainingError(f"a weight is no longer a number, in epoch {self.epoch + 1}; " + _REMEDY)
        position = {"epoch": self.epoch, "batch": self.batch, "seconds": self.seconds, **vars(self.result),
                    "watched_batches": self.watch.batches, "watched_mean": self.watch.mean}
        checkpoint.write(self.checkpoint_path, self.model, self.optimizer, self.schedule, position, self.settings,
                         self.may_change, self.history)

    def fit(self, epochs: int) -> None:
        """Train until ``epochs`` epochs are done, counted from the very beginning.

        Raises Interrupted after Ctrl-C (or SIGTERM), once the batch is finished and saved; TrainingError if the loss is
        no longer a number."""
        self.model.train()
        with only_user_of(self.out), _stop_signals() as self._stop:
            self._write_log()  # a run that was killed may have logged an epoch that its checkpoint does not know
            while self.epoch < epochs:
                self._train_epoch(epochs)
                validated = self._validate(epochs)
                if not math.isfinite(validated.loss):
                    raise TrainingError(f"the validation loss is {validated.loss} after epoch {self.epoch + 1}; "
                                        + _REMEDY)
                self.history.append(self._log_line(validated))
                self.epoch, self.batch, self.result, self.seconds = self.epoch + 1, 0, Result(), 0.0
                self.schedule.epoch_end(validated.top1)
                self.save()
                self._write_log()
        if self._stop:
            self._stop_if_asked()

    def _train_epoch(self, epochs: int) -> None:
        saved = began = time.monotonic()
        before = self.seconds
        wanted = self.batches - self.batch
        batches = islice(self.train.epoch(self.epoch, self.batch), wanted)
        with Progress(f"epoch {self.epoch + 1}/{epochs}", self._images(self.batches), self.result.images,
                      self.print_freq) as progress:
            for images, labels in batches:
                self._step(images, labels, progress)
                self.batch += 1
                self.seconds = before + time.monotonic() - began
                progress.update(self.result, self.optimizer.lr)
                self._stop_if_asked()
                if time.monotonic() - saved > self.save_seconds and self.batch < self.batches:
                    self.save()
                    saved = time.monotonic()

    def _step(self, images: Any, labels: Any, progress: Progress) -> None:
        self.schedule.batch(self.epoch, self.batch / self.batches)
        self.optimizer.zero_grad()
        logits = self.model(tensor(images, self.device))
        loss = F.cross_entropy(logits, labels, self.label_smoothing)
        value = float(loss.item())
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at batch {self.batch + 1} of epoch {self.epoch + 1}; " + _REMEDY)
        loss.backward()
        if self.clip_norm is not None:
            norm = clip_grad_norm_(self.optimizer.parameters, self.clip_norm)
            if not math.isfinite(norm):
                raise TrainingError(f"the norm of the gradients is {norm} at batch {self.batch + 1} of epoch "
                                    f"{self.epoch + 1}; " + _REMEDY)
        self.optimizer.step()
        self.result.add(value, logits.numpy(), labels)
        remark = self.watch.see(value)
        if remark:
            progress.say(remark)

    def _validate(self, epochs: int) -> Result:
        batches = islice(self.validation.epoch(0), self.limit)
        with Progress(f"validation {self.epoch + 1}/{epochs}", self._images(self.limit, self.validation), 0,
                      self.print_freq) as progress:

            def after_batch(result: Result) -> None:
                progress.update(result)
                self._stop_if_asked()

            return evaluate(self.model, batches, self.device, self.validation.transform.rows, after_batch)

    def _images(self, batches: int | None, loader: Loader | None = None) -> int:
        loader = loader or self.train
        count = len(loader.split)
        return count if batches is None else min(count, batches * loader.batch)

    def _stop_if_asked(self) -> None:
        if self._stop:
            self.save()
            raise Interrupted(f"stopped after {self.epoch} epochs and {self.batch} of {self.batches} batches; "
                              f"everything is saved in {self.checkpoint_path}")

    def _log_line(self, validated: Result) -> dict[str, Any]:
        line: dict[str, Any] = {"epoch": self.epoch + 1, "lr": self.optimizer.lr}
        for name, result in (("train", self.result), ("val", validated)):
            line |= {f"{name}_loss": result.loss, f"{name}_top1": result.top1, f"{name}_top5": result.top5}
        return line | {"train_images": self.result.images, "val_images": validated.images,
                       "seconds": round(self.seconds, 3),
                       "images_per_second": round(self.result.images / max(self.seconds, 1e-9), 1),
                       "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 10)}

    def _write_log(self) -> None:
        write_text(self.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in self.history))
        if self.history:
            curves(self.history, self.out / "curves.png")


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """While inside, the first Ctrl-C or SIGTERM only fills the list, so that the batch can be finished: weights that
    are half updated would be worth nothing.  The second one does what it always did."""
    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        print("\nstopping after this batch (once more: at once, without saving) ...", file=sys.stderr, flush=True)
        for other, handler in before.items():
            signal.signal(other, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread, where Python delivers no signals
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
