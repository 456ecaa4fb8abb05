"""The shelves of the house: what lies on each is found by listing the folder, never registered.

`modules` names what a shelf holds, `load` imports it. Standard library only.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import List

_HERE = os.path.dirname(os.path.abspath(__file__))


def modules(package: str) -> List[str]:
    """The names of a package's modules, sorted; those that begin with "_" are nobody's business."""
    folder = os.path.join(_HERE, *package.split(".")[1:])
    names = []
    for entry in os.listdir(folder):
        name, extension = os.path.splitext(entry)
        is_package = os.path.isfile(os.path.join(folder, entry, "__init__.py"))
        if not name.startswith((".", "_")) and (extension == ".py" or is_package):
            names.append(name)
    return sorted(names)


def load(package: str) -> List[ModuleType]:
    """Import everything on a shelf, in the order of names."""
    return [importlib.import_module(f"{package}.{name}") for name in modules(package)]
