"""States on disk: HDF5 files that open in any viewer, written so that a crash never leaves half of one.

A state is a dict of arrays, numbers, strings and more such dicts.  Arrays become datasets, dicts groups, the rest
attributes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "tinyconv-state"
VERSION = 1


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write ``state`` to ``path``: first under a temporary name beside it, flushed to the disk, then renamed.

    Whatever happens, ``path`` holds either what it held before or all of the new state.  Raises OSError that names the
    file if the disk is full or the folder cannot be written to; TypeError for values that have no place in a file."""
    import h5py

    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            _write(file, state)
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise OSError(f"save: cannot write {target}: {error}; what was there before is untouched") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state that :func:`save` wrote.  Raises FileNotFoundError, or ValueError if the file is not a whole state."""
    import h5py

    if not Path(path).exists():
        raise FileNotFoundError(f"load: there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"load: {path} is an HDF5 file, but not a state that tinyconv saved")
            if file.attrs["version"] > VERSION:
                raise ValueError(f"load: {path} has version {file.attrs['version']}, this tinyconv reads {VERSION}; "
                                 "install a newer one")
            return _read(file)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"load: {path} is damaged or not an HDF5 file: {error}") from error


def _write(group: Any, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(name, data=value)
        elif isinstance(value, (bool, int, float, str, np.generic)):
            group.attrs[name] = value
        else:
            raise TypeError(f"save: {name} is a {type(value).__name__}; a state holds arrays, numbers, strings and dicts")


def _read(group: Any) -> dict[str, Any]:
    import h5py

    state: dict[str, Any] = {}
    for name, value in group.attrs.items():
        if not (group.name == "/" and name in ("format", "version")):
            state[name] = value.item() if isinstance(value, np.generic) else value
    for name, item in group.items():
        state[name] = _read(item) if isinstance(item, h5py.Group) else item[()]
    return state


def _sync_folder(folder: Path) -> None:
    """A rename is only on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
