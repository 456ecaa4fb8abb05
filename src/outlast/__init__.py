"""Outlast: machine-learning runs that outlast your connection.

`import outlast` costs next to nothing: each public name is imported when it is first used. This
file is also part of the kit that travels into a job's own environment, where only the run-side
names exist; hence Python 3.8 and the standard library.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOMES: Dict[str, str] = {
    "Run": "outlast.runtime",
    "get_context": "outlast.runtime",
    "start_logging": "outlast.runtime",
    "submit": "outlast.sdk.submit",
    "sweep": "outlast.sweeps.asking",
    "show": "outlast.notebook.show",
    "get_run": "outlast.sdk.workspace",
    "runs": "outlast.sdk.workspace",
    "Workspace": "outlast.sdk.workspace",
    "Experiment": "outlast.sdk.experiment",
    "RunHandle": "outlast.sdk.handle",
    "Output": "outlast.sdk.submit",
    "Environment": "outlast.sdk.environment",
    "OutlastError": "outlast.errors",
    "NotFound": "outlast.errors",
    "Conflict": "outlast.errors",
    "Refused": "outlast.errors",
    "Unreachable": "outlast.errors",
    "Invalid": "outlast.errors",
    "RunFailed": "outlast.errors",
}
# Public names that are modules.
_ROOMS: Dict[str, str] = {
    "compute": "outlast.sdk.compute",
    "datasets": "outlast.sdk.datasets",
    "datastores": "outlast.sdk.datastores",
    "models": "outlast.sdk.models",
    "sweeps": "outlast.sweeps",
}
__all__ = ["__version__", "run", *_HOMES, *_ROOMS]

if not os.path.isdir(os.path.join(os.path.dirname(__file__), "sdk")):
    # This is the kit inside a job. An installed Outlast in the job's environment completes it.
    for _entry in sys.path:
        _other = os.path.join(_entry, "outlast")
        if _other not in __path__ and os.path.isdir(os.path.join(_other, "sdk")):
            __path__.append(_other)

# The folder `run` takes the name when it is first imported: now, so that the function has it after.
__import__("outlast.run")


def run(name: str = "", *, experiment: str = "default", **options: Any) -> Any:
    """An interactive run for a `with` block: Completed at its end, Failed by an exception in it."""
    return __getattr__("start_logging")(experiment, name, **options)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or _ROOMS.get(name)
    if home is None:
        raise AttributeError(f"module 'outlast' has no attribute {name!r}")
    import importlib  # here: nobody else needs it at the start

    module = importlib.import_module(home)
    return module if name in _ROOMS else getattr(module, name)
