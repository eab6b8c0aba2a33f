"""Two towers in one: the parameters of the paper's AlexNet in the grouped layout that Caffe made usual, and back.

Two towers whose filters see only their own channels are one column whose convolutions have two groups: the filters of
tower 0, then those of tower 1.  Where the towers hear each other there are no groups, and the order of the channels is
the same.  So a layer's weights in the one layout are those of both towers one after the other in the other.

It is a matter of layout only.  ``caffe`` is another network (227 pixels, other LRN, which runs across the border
between the towers): it accepts these parameters, but does not compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# The layer in a tower of ``paper`` -> the layer of ``caffe``
_LAYERS = {"lower.conv1": "features.conv1", "lower.conv2": "features.conv2", "upper.conv3": "features.conv3",
           "upper.conv4": "features.conv4", "upper.conv5": "features.conv5", "fc6.linear": "classifier.fc6",
           "fc7.linear": "classifier.fc7"}
_OUTPUT = {"output": "classifier.fc8"}


def to_grouped(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The ``state_dict()`` of ``alexnet("paper")``, or its velocities by name, with the names and shapes of
    ``alexnet("caffe")``.  Raises KeyError if it is not of that network."""
    _require(state, [f"{name}.{kind}" for name in _tower_names() for kind in ("weight", "bias")], "paper")
    result = {}
    for kind in ("weight", "bias"):
        for tower, grouped in _LAYERS.items():
            both = [state[f"towers.{i}.{tower}.{kind}"] for i in (0, 1)]
            result[f"{grouped}.{kind}"] = np.concatenate(both)
        for output, grouped in _OUTPUT.items():
            result[f"{grouped}.{kind}"] = np.array(state[f"{output}.{kind}"])
    return result


def to_towers(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The way back.  Raises KeyError if ``state`` is not of ``alexnet("caffe")``, ValueError for an odd number of
    filters."""
    names = [*_LAYERS.values(), *_OUTPUT.values()]
    _require(state, [f"{name}.{kind}" for name in names for kind in ("weight", "bias")], "caffe")
    result = {}
    for kind in ("weight", "bias"):
        for tower, grouped in _LAYERS.items():
            whole = state[f"{grouped}.{kind}"]
            if len(whole) % 2:
                raise ValueError(f"to_towers: {grouped}.{kind} has {len(whole)} filters; two towers need an even "
                                 "number")
            for i, half in enumerate(np.split(whole, 2)):
                result[f"towers.{i}.{tower}.{kind}"] = half.copy()
        for output, grouped in _OUTPUT.items():
            result[f"{output}.{kind}"] = np.array(state[f"{grouped}.{kind}"])
    return result


def _tower_names() -> list[str]:
    return [f"towers.{i}.{name}" for i in (0, 1) for name in _LAYERS] + list(_OUTPUT)


def _require(state: Mapping[str, np.ndarray], names: list[str], variant: str) -> None:
    if missing := [name for name in names if name not in state]:
        raise KeyError(f"this is not the state of alexnet({variant!r}): there is no {missing[0]!r}")
    if unknown := sorted(set(state) - set(names)):
        raise KeyError(f"this is not the state of alexnet({variant!r}): it has no layer {unknown[0]!r}")
