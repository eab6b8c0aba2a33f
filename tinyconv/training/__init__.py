"""Training: the loop, evaluation, checkpoints, the log and its pictures.  ``examples/alexnet_imagenet.py`` shows it."""

from .checkpoint import CheckpointError
from .evaluation import Result, evaluate, top_k
from .trainer import Interrupted, Trainer, TrainingError

__all__ = ["CheckpointError", "Interrupted", "Result", "Trainer", "TrainingError", "evaluate", "top_k"]
