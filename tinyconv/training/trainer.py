"""The training loop."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .. import functional as F
from ..data.loader import Loader
from ..nn import Dropout, Module
from ..optim import SGD, Schedule, clip_grad_norm_, total_norm
from ..safefile import make_folder, only_user_of, write_text
from ..tensor import tensor
from . import blame, checkpoint, record
from .evaluation import Result, evaluate, evaluating
from .keep import keep, kept
from .meter import Meter
from .pictures import curves
from .progress import Progress
from .ratios import update_ratios
from .rss import resident
from .signals import stop_signals
from .steplog import StepLog
from .watch import LossWatch

_REMEDY = ("the last checkpoint is intact.  Try a lower learning rate (--lr), gradient clipping (--clip-norm) or a "
           "warm-up (--warmup)")


class Interrupted(Exception):
    """The user stopped the run; it was saved first."""


class TrainingError(RuntimeError):
    """The run cannot go on.  Its last checkpoint is intact."""


class _RuinedWeights(TrainingError):
    """Seen too late to say where: the step that did it is over."""


class Trainer:
    """Trains a model, epoch by epoch: a step for each batch, then validation, a line in the log, curves and a
    checkpoint.

    Writes to the folder ``out``: ``checkpoint.h5``, ``best.h5`` and ``checkpoints/`` (see ``keep.py``), ``log.jsonl``
    (a JSON line for each epoch), ``steps.jsonl`` (one every few steps), ``run.json`` (what was run, where) and
    ``curves.png``.

    Args:
        model, optimizer, schedule: what is trained and how; all on the devices where they already are.
        train, validation: loaders.
        out: the folder of the run; made if it does not exist.
        clip_norm: the largest norm of all gradients together; None for no limit.
        label_smoothing: see ``functional.cross_entropy``.
        limit_batches: do only so many batches of each epoch, and of each validation; for a quick try.
        save_minutes: write a checkpoint at least so often, besides the one after each epoch.
        keep_last: keep the checkpoints of so many epochs, besides the best.
        log_every: steps between two lines of ``steps.jsonl``.
        print_freq: batches between two reports.
        settings: what must be the same when the run is resumed.
        may_change: what need not, but is told if it is not.
        options, data: what ``run.json`` shall say about the program and its images.
    """

    def __init__(self, model: Module, optimizer: SGD, schedule: Schedule, train: Loader, validation: Loader,
                 classes: int, out: str | Path, *, clip_norm: float | None = None, label_smoothing: float = 0.0,
                 limit_batches: int | None = None, save_minutes: float = 5.0, keep_last: int = 3, log_every: int = 50,
                 print_freq: int = 20, settings: dict[str, Any] | None = None,
                 may_change: dict[str, Any] | None = None, options: dict[str, Any] | None = None,
                 data: dict[str, Any] | None = None) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.train, self.validation, self.out = train, validation, Path(out)
        self.clip_norm, self.label_smoothing = clip_norm, label_smoothing
        self.save_seconds, self.keep_last = 60 * save_minutes, keep_last
        self.log_every, self.print_freq = log_every, print_freq
        self.limit = limit_batches
        self.batches = len(train) if limit_batches is None else min(limit_batches, len(train))
        self.device = optimizer.parameters[0].device
        self.settings = {**(settings or {}), "batch": train.batch, "training images": len(train.split),
                         "classes": classes, "batches in an epoch": self.batches}
        self.may_change, self.options, self.data = may_change or {}, options or {}, data or {}
        self.watch = LossWatch(classes)
        self.history: list[dict[str, Any]] = []
        self.epoch = self.batch = 0  # the next batch to do
        self.so_far, self.window = Meter(), Meter()  # of this epoch, and since the last line of steps.jsonl
        self._stop: list[int] = []  # signals that asked for an end
        self._steps: StepLog | None = None
        self._own: tuple[int, ...] | None = None  # the checkpoint file that this run wrote or began with
        self._written: tuple[int, int] | None = None  # (epoch, batch) that it holds
        self._torn = False  # an update has begun and not ended
        self._fell_back = False  # to an older checkpoint, since the newest is damaged
        self._dropouts = [module for _, module in model.named_modules() if isinstance(module, Dropout)]
        self._before_step: list[int] = []  # where the dropout layers' random numbers were
        make_folder(self.out)

    @property
    def checkpoint_path(self) -> Path:
        return self.out / "checkpoint.h5"

    @property
    def step(self) -> int:
        """How many steps are done, from the very beginning."""
        return self.epoch * self.batches + self.batch

    def resume(self, path: str | Path | None = None) -> None:
        """Go on where the checkpoint ``path`` was written; by default this folder's newest, or, if that is damaged,
        the newest whole one that was kept.

        Raises CheckpointError if that is no checkpoint of this network, data and settings."""
        state = self._newest() if path is None else self._restore(Path(path))
        position = state["position"]
        try:
            self.epoch, self.batch = (position[name] for name in ("epoch", "batch"))
            self.so_far, self.window = Meter.from_state(position, required=True), Meter.from_state(position, "window_")
            self.watch.batches, self.watch.mean = (position[f"watched_{name}"] for name in ("batches", "mean"))
        except KeyError as error:
            raise checkpoint.CheckpointError(f"the checkpoint is damaged: its position has no {error}") from error
        self.history = state["history"]
        self._own, self._written, self._torn = _identity(self.checkpoint_path), (self.epoch, self.batch), False
        print(f"going on after {self.epoch} epochs and {self.batch} batches")
        for name, value in self.may_change.items():
            if (before := state["may change"].get(name, value)) != value:
                print(f"changed since the checkpoint: {name} was {before}, now {value}")

    def _restore(self, path: Path) -> dict[str, Any]:
        return checkpoint.restore(path, self.model, self.optimizer, self.schedule, self.settings)

    def _newest(self) -> dict[str, Any]:
        try:
            return self._restore(self.checkpoint_path)
        except checkpoint.DamagedCheckpoint as damage:
            for _, path in kept(self.out):
                try:
                    state = self._restore(path)
                except checkpoint.DamagedCheckpoint:
                    continue
                print(f"{damage}; going on from {path}")
                self._fell_back = True
                return state
            raise

    def save(self) -> None:
        """Write the checkpoint.  Raises TrainingError, and leaves the last one, if a weight is no longer a number."""
        if not math.isfinite(total_norm(self.optimizer.parameters)):
            raise _RuinedWeights(f"a weight is no longer a number, after {self._place()}: {self._ruined()}; " + _REMEDY)
        if self._steps is not None:
            self._steps.sync()
        position = {"epoch": self.epoch, "batch": self.batch, **self.so_far.state(), **self.window.state("window_"),
                    "watched_batches": self.watch.batches, "watched_mean": self.watch.mean}
        checkpoint.write(self.checkpoint_path, self.model, self.optimizer, self.schedule, position, self.settings,
                         self.may_change, self.history)
        self._own, self._written = _identity(self.checkpoint_path), (self.epoch, self.batch)

    def fit(self, epochs: int) -> None:
        """Train until ``epochs`` epochs are done, counted from the very beginning.

        Raises Interrupted after Ctrl-C (or SIGTERM), once the batch is finished and saved; TrainingError if the loss is
        no longer a number, with the step and the layer that was the first to go wrong; OSError if another run uses the
        folder."""
        self.model.train()
        with only_user_of(self.out), stop_signals() as self._stop:
            self._begin()
            with StepLog(self.out / "steps.jsonl", self.step) as self._steps:
                try:
                    while self.epoch < epochs:
                        self._train_epoch(epochs)
                        self._end_epoch(self._validate(epochs))
                except _RuinedWeights as ruin:
                    self._find_the_step(ruin)
                    raise
                finally:
                    self._steps = None
        if self._stop:
            self._stop_if_asked()

    def _begin(self) -> None:
        """What a killed run left half done is finished, and this session noted."""
        if self._torn:
            raise TrainingError("the last step failed in the middle of its update, so some weights have moved and "
                                "others have not; go on from the checkpoint: resume()")
        if _identity(self.checkpoint_path) != self._own:
            raise checkpoint.CheckpointError(f"{self.out} holds a run that went on meanwhile, or was not resumed; go "
                                             "on with --resume, or name another folder with --out")
        record.add_session(self.out, self.step, self.options, self.data,
                           sorted({str(p.device) for p in self.optimizer.parameters}))
        if self._own is None or self._fell_back or self._written != (self.epoch, self.batch):
            self.save()  # a disk that is full or read-only is told now; and from here a failed step can be done again
        if self.batch == 0 and self.history:
            self._keep()
        self._write_log()

    def _end_epoch(self, validated: Result) -> None:
        if not math.isfinite(validated.loss):
            where = self._ruined()
            error = _RuinedWeights if where else TrainingError
            raise error(f"the validation loss is {validated.loss} after {self._place()}: "
                        f"{where or self._bad_validation()}; " + _REMEDY)
        self.history.append(self._log_line(validated))
        self.epoch, self.batch, self.so_far = self.epoch + 1, 0, Meter()
        self.schedule.epoch_end(validated.top1)
        self.save()
        self._keep()
        self._write_log()

    def _keep(self) -> None:
        best = max(self.history, key=lambda line: line["val_top1"])  # of equal ones the first
        keep(self.out, self.epoch, best is self.history[-1], self.keep_last)

    def _train_epoch(self, epochs: int) -> None:
        batches = self.train.epoch(self.epoch, self.batch)
        images = self._images(self.batches)
        try:
            with Progress(f"epoch {self.epoch + 1}/{epochs}", images, self.so_far.result.images, self.print_freq,
                          run=(self.epoch, epochs, self._best())) as progress:
                saved = last = time.monotonic()
                while self.batch < self.batches:
                    asked = time.monotonic()
                    pixels, labels = next(batches)
                    waited = time.monotonic() - asked
                    loss, scores = self._step(pixels, labels)
                    now = time.monotonic()
                    self._count(loss, scores, labels, now - last, waited, progress)
                    last = now
                    self._stop_if_asked()
                    if now - saved > self.save_seconds and self.batch < self.batches:
                        self.save()
                        saved = time.monotonic()
        finally:
            getattr(batches, "close", lambda: None)()  # its workers end now, and not when it is collected

    def _step(self, images: Any, labels: Any) -> tuple[float, np.ndarray]:
        """The loss, and the scores (N, classes).  One that fails can be done again."""
        self._before_step = [layer.step for layer in self._dropouts]
        try:
            return self._do_step(images, labels)
        except BaseException:
            self._rewind_dropout()
            raise

    def _do_step(self, images: Any, labels: Any) -> tuple[float, np.ndarray]:
        self.schedule.batch(self.epoch, self.batch / self.batches)
        self.optimizer.zero_grad()
        logits = self.model(tensor(images, self.device))
        loss = F.cross_entropy(logits, labels, self.label_smoothing)
        value = float(loss.item())  # the one place where a step waits for its device
        scores = logits.numpy()
        if not math.isfinite(value):
            self._fail(f"the loss is {value}", images, labels, backward=False)
        loss.backward()
        if self.clip_norm is not None:
            norm = clip_grad_norm_(self.optimizer.parameters, self.clip_norm)
            if not math.isfinite(norm):
                self._fail(f"the norm of the gradients is {norm}", images, labels, backward=True)
        self._torn = True
        self.optimizer.step()
        self._torn = False
        return value, scores

    def _count(self, loss: float, scores: np.ndarray, labels: np.ndarray, seconds: float, waited: float,
               progress: Progress) -> None:
        """A step is done."""
        self.batch += 1
        for meter in (self.so_far, self.window):
            meter.add(loss, scores, labels, seconds, waited)
        progress.update(self.so_far.result, self.optimizer.lr, self.so_far.wait_share)
        if remark := self.watch.see(loss):
            progress.say(remark)
        if self._steps is not None and self.step % self.log_every == 0:
            self._steps.append(self._step_line())
            self.window = Meter()

    def _validate(self, epochs: int) -> Result:
        batches = islice(self.validation.epoch(0), self.limit)
        with Progress(f"validation {self.epoch + 1}/{epochs}", self._images(self.limit, self.validation), 0,
                      self.print_freq, run=(self.epoch + 1, epochs, self._best())) as progress:

            def after_batch(result: Result) -> None:
                progress.update(result)
                self._stop_if_asked()

            return evaluate(self.model, batches, self.device, self.validation.transform.rows, after_batch)

    def _images(self, batches: int | None, loader: Loader | None = None) -> int:
        loader = loader or self.train
        count = len(loader.split)
        return count if batches is None else min(count, batches * loader.batch)

    def _best(self) -> float | None:
        return max((line["val_top1"] for line in self.history), default=None)

    def _stop_if_asked(self) -> None:
        if self._stop:
            self.save()
            raise Interrupted(f"stopped after {self.epoch} epochs and {self.batch} of {self.batches} batches; "
                              f"everything is saved in {self.checkpoint_path}")

    def _place(self) -> str:
        return f"batch {self.batch} of epoch {self.epoch + 1} (step {self.step})"

    def _fail(self, what: str, images: Any, labels: Any, backward: bool) -> None:
        """Do the step once more, looking at every layer, and raise TrainingError."""
        where: str | None = self._ruined()
        error = _RuinedWeights if where else TrainingError
        if not where:
            self._rewind_dropout()
            self.optimizer.zero_grad()
            where = blame.first_bad(self.model, images, labels, self.device, self.label_smoothing, backward)
        raise error(f"{what} at batch {self.batch + 1} of epoch {self.epoch + 1} (step {self.step + 1}): "
                    f"{where or 'layer by layer, which rounds otherwise, all numbers are finite'}; " + _REMEDY)

    def _rewind_dropout(self) -> None:
        for layer, step in zip(self._dropouts, self._before_step, strict=True):
            layer.step = step

    def _ruined(self) -> str:
        """Which weights are no numbers, in words; "" if all are."""
        names = blame.bad_parameters(self.model)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"an earlier update left inf or nan in {', '.join(names[:3])}{more}" if names else ""

    def _find_the_step(self, ruin: TrainingError) -> None:
        """Weights were seen to be ruined some time after it happened, for without clipping nobody looks at gradients:
        go back to the last checkpoint and do its steps again, looking.  Raises TrainingError at the step."""
        if self.clip_norm is not None:
            return  # the gradients were finite, so it was the update itself
        print(f"{ruin}\nlooking for the step: those since the checkpoint are done again")
        save_seconds = self.save_seconds
        self.clip_norm, self.save_seconds, self._steps = sys.float_info.max, math.inf, None
        try:
            self.resume(self.checkpoint_path)
            self._train_epoch(self.epoch + 1)
        except _RuinedWeights:
            pass  # it comes to the same end: no gradient was to blame
        finally:
            self.clip_norm, self.save_seconds = None, save_seconds

    def _bad_validation(self) -> str:
        """Which layer is the first to go wrong, in words; the weights are finite."""
        with evaluating(self.model):
            for images, labels in islice(self.validation.epoch(0), self.limit):
                rows = self.validation.transform.rows
                if where := blame.first_bad(self.model, images, np.repeat(labels, rows), self.device, backward=False):
                    return where
        return "layer by layer, which rounds otherwise, all numbers are finite"

    def _step_line(self) -> dict[str, Any]:
        return {"step": self.step, "epoch": self.epoch + 1, "batch": self.batch, "images": self.window.result.images,
                **self.window.accuracy(), "lr": self.optimizer.lr, **self.window.speed(), **self._memory(),
                "update_ratio": update_ratios(self.model, self.optimizer), "time": round(time.time(), 3)}

    def _log_line(self, validated: Result) -> dict[str, Any]:
        line: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step, "lr": self.optimizer.lr}
        trained = self.so_far.result
        for name, result in (("train", trained), ("val", validated)):
            line |= {f"{name}_loss": result.loss, f"{name}_top1": result.top1, f"{name}_top5": result.top5}
        return line | {"train_images": trained.images, "val_images": validated.images,
                       "seconds": round(self.so_far.seconds, 3), **self.so_far.speed(), **self._memory(),
                       "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 10),
                       "time": round(time.time(), 3)}

    def _memory(self) -> dict[str, float]:
        return resident([*self.train.pids, *self.validation.pids])

    def _write_log(self) -> None:
        write_text(self.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in self.history))
        if self.history:
            curves(self.history, self.out / "curves.png")


def _identity(path: Path) -> tuple[int, ...] | None:
    """Differs once the file was written anew; None if there is none."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
