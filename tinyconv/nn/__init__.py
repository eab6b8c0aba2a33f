"""Layers with parameters, and what one does with them."""

from . import init
from .fusion import no_fusion
from .layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from .module import Module, ModuleList, Parameter, Sequential
from .summary import Summary, summary

__all__ = [
    "AdaptiveAvgPool2d", "AvgPool2d", "Conv2d", "Dropout", "Flatten", "Linear", "LocalResponseNorm", "MaxPool2d",
    "Module", "ModuleList", "Parameter", "ReLU", "Sequential", "Summary", "init", "no_fusion",
    "summary",
]
