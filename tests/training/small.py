"""A run that takes a second: a small network with every kind of state that a checkpoint must keep."""

import numpy as np

import tinyconv as tc
from tinyconv.data import EvalTransform, Loader, SyntheticData, TrainTransform
from tinyconv.nn import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU, Sequential
from tinyconv.optim import SGD, Plateau
from tinyconv.training import Trainer


class PLACE:
    """Where the networks of this file live: a module of tests that runs on several devices sets it."""

    device = "cpu"


def network(classes=4, width=8, device="cpu"):
    return Sequential({
        "conv": Conv2d(3, width, 3, padding=1, device=device), "relu": ReLU(), "norm": LocalResponseNorm(5),
        "pool": MaxPool2d(4), "flatten": Flatten(), "drop": Dropout(0.4),
        "fc": Linear(width * 16, classes, device=device)})


def trainer(out, seed=3, width=8, batch=8, lr=0.05, patience=1, **options):
    """Three batches an epoch of 24 images; two of validation."""
    tc.manual_seed(seed)
    data = SyntheticData(classes=4, size=18, train=24, val=12, seed=1)
    model = network(width=width, device=PLACE.device)
    optimizer = SGD(model.parameters(), lr)
    augment = TrainTransform(18, 16, data.mean, data.std, color_noise=0.1, eigenvalues=data.eigenvalues,
                             eigenvectors=data.eigenvectors)
    train = Loader(data.split("train"), batch, augment, shuffle=True, seed=seed)
    validation = Loader(data.split("val"), 8, EvalTransform(18, 16, data.mean, data.std), shuffle=False, seed=0)
    return Trainer(model, optimizer, Plateau(optimizer, patience), train, validation, 4, out, clip_norm=1.0, **options)


def bits(run):
    """Everything that the numbers of later steps depend on."""
    state = {f"model/{name}": value for name, value in run.model.state_dict().items()}
    state |= {f"velocity/{i}": v for i, v in run.optimizer.state_dict()["velocity"].items()}
    return {name: np.asarray(value).tobytes() for name, value in state.items()}


def log(run):
    """The log without what depends on the clock."""
    return without_clock(run.history)


def without_clock(lines):
    """Lines of a log without what depends on the clock and the machine."""
    clock = ("seconds", "images_per_second", "data_wait", "peak_rss_mib", "rss_mib", "shared_mib", "workers_rss_mib",
             "time")
    return [{name: value for name, value in line.items() if name not in clock} for line in lines]
