"""Networks, ready to train."""

from .alexnet import VARIANTS, alexnet
from .layouts import to_grouped, to_towers

__all__ = ["VARIANTS", "alexnet", "to_grouped", "to_towers"]
