"""``result.json``: it appears in a run's folder, complete, when the run is finished, and is what says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyconv.safefile import write_text
from tinyconv.training import TrainingError


def finished(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result in the folder, or None.  Raises TrainingError if it is one of other settings, or damaged."""
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        before = dict(result["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); remove it, and its run is finished again") from error
    for name, value in settings.items():
        if before.get(name) != value:
            raise TrainingError(f"{folder} holds a run with {name} {before.get(name)}, not {value}; "
                                "choose another folder with --out")
    return result


def keep(folder: Path, settings: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Write the result of a run, with its settings, and return both."""
    whole = {**result, "settings": dict(settings)}
    write_text(folder / "result.json", json.dumps(whole, indent=1) + "\n")
    return whole
