"""Kind existing: an interpreter that is there, used as it is; nothing is made or changed."""

from __future__ import annotations

import os

from outlast.environments.environment import Place, activation
from outlast.errors import Invalid
from outlast.run.environment import Environment


def place(wanted: Environment) -> Place:
    """Where it is. Raises Invalid when no program is there (any more)."""
    python = wanted.interpreter
    field = "environment.interpreter"
    if not os.path.exists(python):
        raise Invalid.field(field, python, "there is no such file")
    if os.path.isdir(python) or not os.access(python, os.X_OK):
        raise Invalid.field(field, python, "give a Python interpreter, as /opt/env/bin/python")
    prefix = os.path.dirname(os.path.dirname(python))
    return Place("", prefix, python, (), activation(prefix))
