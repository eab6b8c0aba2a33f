"""States on disk: HDF5 files that open in any viewer, written so that a crash never leaves half of one.

A state is a dict of arrays, numbers, strings and more such dicts.  Arrays and strings become datasets, dicts groups,
numbers attributes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .safefile import hdf5_stream
from .tensor import Tensor

FORMAT = "tinyconv-state"
VERSION = 1
ROOT = "state"  # the group that holds it, apart from the format's own attributes


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write ``state`` to ``path``.

    Whatever happens, ``path`` holds either what it held before or all of the new state.  Raises OSError that names the
    file if the disk is full or the folder cannot be written to; TypeError for values that have no place in a file, and
    ValueError for names with a slash."""
    import h5py

    with hdf5_stream(Path(path)) as stream, h5py.File(stream, "w", track_order=True) as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        _write(file.create_group(ROOT, track_order=True), state)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state that :func:`save` wrote.  Raises FileNotFoundError, or ValueError if the file is not a whole state."""
    import h5py

    if not Path(path).is_file():
        raise FileNotFoundError(f"load: there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            kind, version = file.attrs.get("format"), file.attrs.get("version", 0)
            state = _read(file[ROOT]) if kind == FORMAT and version <= VERSION else {}
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise ValueError(f"load: {path} is damaged or not an HDF5 file: {error}") from error
    if kind != FORMAT:
        raise ValueError(f"load: {path} is an HDF5 file, but not a state that tinyconv saved")
    if version > VERSION:
        raise ValueError(f"load: {path} has version {version}, this tinyconv reads {VERSION}; install a newer one")
    return state


def _write(group: Any, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if "/" in name:
            raise ValueError(f"save: the name {name!r} has a slash, which HDF5 takes for a group")
        if isinstance(value, Mapping):
            _write(group.create_group(name, track_order=True), value)
        elif isinstance(value, Tensor):
            group.create_dataset(name, data=value.numpy())
        elif isinstance(value, (np.ndarray, str)):
            group.create_dataset(name, data=value)
        elif isinstance(value, (bool, int, float, np.generic)):
            group.attrs[name] = value
        else:
            raise TypeError(f"save: {name} is a {type(value).__name__}; "
                            "a state holds arrays, numbers, strings and dicts")


def _read(group: Any) -> dict[str, Any]:
    import h5py

    state: dict[str, Any] = {}
    for name, value in group.attrs.items():
        state[name] = value.item() if isinstance(value, np.generic) else value
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            state[name] = _read(item)
        elif h5py.check_string_dtype(item.dtype) and item.shape == ():
            state[name] = item.asstr()[()]
        else:
            state[name] = np.asarray(item[()])
    return state
