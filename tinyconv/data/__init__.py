"""Images in: packs (one HDF5 file per data set), augmentation as in the AlexNet paper, and the loader.

    pack = open_data(None, "runs/first")  # the embedded Fashion-MNIST; or a pack, a folder, ILSVRC2012
    train = TrainTransform(32, 28, pack.mean, pack.std)
    loader = Loader(pack.split("train"), 64, train, shuffle=True, seed=0)
    for images, labels in loader.epoch(0): ...

`python -m tinyconv.data.pack SOURCE OUT.h5` makes a pack, `... OUT.pack` one in shards. `layout.py` describes what is
in one, `python -m tinyconv.data.check PACK` verifies it.
"""

from importlib import import_module
from typing import Any

# Names are looked up on first use: `import tinyconv` stays light, without h5py, Pillow or SciPy.
_HOME = {
    "DecodeError": "errors",
    "EvalTransform": "transforms",
    "Loader": "loader",
    "Pack": "dataset",
    "PackError": "errors",
    "RandomResizedCrop": "transforms",
    "SampleError": "errors",
    "Split": "dataset",
    "SyntheticData": "synthetic",
    "SyntheticSplit": "synthetic",
    "TrainTransform": "transforms",
    "WorkerError": "team",
    "open_data": "opening",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
