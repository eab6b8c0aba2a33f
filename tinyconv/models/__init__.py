"""Networks, ready to train."""

from .alexnet import VARIANTS, alexnet

__all__ = ["VARIANTS", "alexnet"]
