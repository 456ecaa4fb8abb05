"""Sweeps: try many values of a command's parameters, and find the best.

A sweep is a run whose program (`driver`) submits runs below it, the trials, and follows them; it
goes on whatever becomes of the process that asked for it. `asking` is the way in, `search` says how
values are chosen, `stopping` when a trial is ended early, `plan` what a sweep consists of.
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "sweep": "asking",
    "get": "asking",
    "Sweep": "asking",
    "bandit": "stopping",
    "median_stopping": "stopping",
    "truncation": "stopping",
    "choice": "search",
    "randint": "search",
    "uniform": "search",
    "quniform": "search",
    "loguniform": "search",
    "qloguniform": "search",
    "normal": "search",
    "qnormal": "search",
    "lognormal": "search",
    "qlognormal": "search",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
