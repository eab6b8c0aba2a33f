"""Mean, least and most of a few numbers: what a table tells of the runs of several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean


def spread(values: Iterable[float]) -> dict[str, float]:
    every = list(values)
    return {"mean": mean(every), "min": min(every), "max": max(every)}


def percent(shares: dict[str, float], digits: int = 1) -> str:
    """For example "44.1 (42.2 to 46.1)"."""
    middle, least, most = (f"{100 * shares[name]:.{digits}f}" for name in ("mean", "min", "max"))
    return f"{middle} ({least} to {most})"
