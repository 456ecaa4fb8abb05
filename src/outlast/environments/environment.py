"""The contract of this shelf: what a kind of environment can do, and what it hands back.

A kind is a file with `resolve` and `install`. Each says what it does into a `Log`, and raises
EnvironmentFailed with the reason in a user's words.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Dict, Mapping, NamedTuple, Protocol, Tuple, cast

from outlast.environments.log import Log
from outlast.run.environment import Environment

# Which file makes an environment of which kind. An existing one needs no making.
_FILES = {"pip": "venv", "conda": "conda"}

Note = Tuple[str, str]  # a code and a sentence: what differs from what was asked for


class Resolved(NamedTuple):
    """What exactly will be installed."""

    lock: str  # one package a line; "" when only the installation tells
    python: str  # the interpreter that it will be made with; "" when the packages bring it
    python_version: str
    notes: Tuple[Note, ...] = ()
    options: str = ""  # lines that the installation needs as well
    is_in_place: bool = False  # it can't be moved, so it is made where it will lie


class Place(NamedTuple):
    """An environment that is there."""

    key: str  # "" for an existing one
    prefix: str  # its folder
    python: str  # its interpreter
    notes: Tuple[Note, ...] = ()
    variables: Mapping[str, str] = {}  # what activation sets beside PATH

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return {**self._asdict(), "notes": [list(note) for note in self.notes]}


class Kind(Protocol):
    """What the file of a kind offers."""

    def resolve(self, wanted: Environment, environ: Mapping[str, str], log: Log) -> Resolved:
        """Decide on every package. Raises EnvironmentFailed."""

    def install(
        self, wanted: Environment, resolved: Resolved, prefix: str,
        environ: Mapping[str, str], log: Log,
    ) -> str:  # fmt: skip
        """Make it in the folder `prefix`, which isn't there yet; return the lock.

        Raises EnvironmentFailed; what is in the folder then is worth nothing.
        """


def kind_of(wanted: Environment) -> Kind:
    """Who makes an environment of this kind."""
    return cast(Kind, importlib.import_module(f"outlast.environments.{_FILES[wanted.kind]}"))


def activation(prefix: str) -> Dict[str, str]:
    """The variables that say which environment is active, as its own `activate` sets them."""
    if os.path.isdir(os.path.join(prefix, "conda-meta")):
        return {"CONDA_PREFIX": prefix}
    if os.path.isfile(os.path.join(prefix, "pyvenv.cfg")):
        return {"VIRTUAL_ENV": prefix}
    return {}
