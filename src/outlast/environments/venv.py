"""Kind pip: a virtual environment with packages from PyPI, or from another index.

Resolved to exact versions with their hashes before anything is installed; the same lock on the same
Python is the same environment.
"""

from __future__ import annotations

from typing import Mapping

from outlast.environments import uv
from outlast.environments.environment import Resolved
from outlast.environments.log import Log
from outlast.run.environment import Environment


def resolve(wanted: Environment, environ: Mapping[str, str], log: Log) -> Resolved:
    """As environment.Kind says."""
    python = uv.interpreter(wanted.python, environ, log)
    lock, options = uv.compiled(wanted.pip, python.path, environ, log, index_url=wanted.index_url)
    return Resolved(lock, python.path, python.version, python.notes, options)


def install(
    wanted: Environment, resolved: Resolved, prefix: str, environ: Mapping[str, str], log: Log
) -> str:
    """As environment.Kind says."""
    uv.made_venv(prefix, resolved.python, wanted.name or "outlast", environ, log)
    if resolved.lock:
        uv.install(resolved.lock, resolved.options, prefix, environ, log, is_sync=True)
    return resolved.lock
