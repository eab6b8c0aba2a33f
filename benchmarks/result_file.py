"""What the runs of a benchmark leave in their folders, so that the same command goes on where it was stopped.

``settings.json``   how the run is done, from its beginning: what is there goes on with these settings only
``result.json``     it appears, complete, when the run is finished, and is what says so; the settings are in it, too
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyconv.safefile import make_folder, write_text
from tinyconv.training import TrainingError


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder of a run, or go on in it.  Raises TrainingError if it is one of other settings, or damaged."""
    make_folder(folder)
    path = folder / "settings.json"
    if path.exists():
        _compare(folder, _read(path, "if the run was done with these settings"), settings)
    else:
        write_text(path, json.dumps(settings, indent=1) + "\n")


def finished(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result in the folder, or None.  Raises TrainingError if it is one of other settings, or damaged."""
    path = folder / "result.json"
    if not path.exists():
        return None
    result = _read(path, "and its run is finished again")
    _compare(folder, result.get("settings", {}), settings)
    return result


def keep(folder: Path, settings: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Write the result of a run, with its settings, and return both."""
    whole = {**result, "settings": dict(settings)}
    write_text(folder / "result.json", json.dumps(whole, indent=1) + "\n")
    return whole


def _read(path: Path, then: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); remove it, {then}") from error


def _compare(folder: Path, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if before.get(name) != value:
            raise TrainingError(f"{folder} holds a run with {name} {before.get(name)}, not {value}; "
                                "choose another folder with --out")
