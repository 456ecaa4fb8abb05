"""Which SDK this is for scripts that ask: the last one, as served by this Outlast."""

from __future__ import annotations

import outlast

VERSION = f"1.61.0+outlast.{outlast.__version__}"
__version__ = VERSION
