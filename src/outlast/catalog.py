"""The shelves of the house: what lies on each is found by listing the folder, never registered.

`modules` names what a shelf holds, `load` imports it, `shelves` describes all of them for
`outlast catalog` and for the docs, without importing anything. Standard library only.
"""

from __future__ import annotations

import ast
import importlib
import os
from types import ModuleType
from typing import Dict, List, NamedTuple

# Plural folders: one file per kind. The first name is how `outlast catalog` calls the shelf.
SHELVES: Dict[str, str] = {
    "commands": "outlast.cli.commands",
    "executors": "outlast.executors",
    "routes": "outlast.server.routes",
    "rules": "outlast.why.rules",
}
_HERE = os.path.dirname(os.path.abspath(__file__))


class Entry(NamedTuple):
    """One file on a shelf."""

    name: str
    module: str
    path: str  # of the file
    about: str  # the first line of its docstring


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


def entries(package: str) -> List[Entry]:
    """What lies on a shelf, with the first line of each file's docstring; nothing is imported."""
    found = []
    for name in modules(package):
        path = os.path.join(_HERE, *package.split(".")[1:], name)
        path = path + ".py" if os.path.isfile(path + ".py") else os.path.join(path, "__init__.py")
        with open(path, encoding="utf-8") as file:
            text = ast.get_docstring(ast.parse(file.read())) or ""
        found.append(Entry(name, f"{package}.{name}", path, text.split("\n")[0]))
    return found


def shelves() -> Dict[str, List[Entry]]:
    """Every shelf with what lies on it."""
    return {shelf: entries(package) for shelf, package in SHELVES.items()}
