"""Packages that only some datasets need, imported when they are, or refused with the remedy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from outlast.errors import Invalid


def extra(module: str, what: str) -> Any:
    """The module. Raises Invalid where it isn't installed, naming what to install and for what."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if (error.name or "").split(".")[0] != package:
            raise
        raise Invalid(
            f"{what} needs {package}, which this Python doesn't have",
            hint=f"pip install {package}   (or: pip install 'outlast[datasets]')",
        ) from None
