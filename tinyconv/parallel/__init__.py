"""Networks on several devices: towers that exchange channels, as AlexNet had them in 2012.  The lesson: README.md."""

from .exchange import exchange
from .towers import Tower, Towers

__all__ = ["Tower", "Towers", "exchange"]
