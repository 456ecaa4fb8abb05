"""Which environments are in use: those of runs that aren't over, by what lies in their folders."""

from __future__ import annotations

import os
from typing import Set

from outlast.environments.cache import load
from outlast.run.folder import ENVIRONMENT_STATE, LAUNCH


def keys_in(runs_folder: str) -> Set[str]:
    """The keys of all environments that a run which isn't over runs in."""
    used: Set[str] = set()
    try:
        entries = list(os.scandir(runs_folder))
    except FileNotFoundError:
        return used
    for entry in entries:
        launch = load(os.path.join(entry.path, LAUNCH))  # gone as soon as a run is over
        if launch is not None:
            built = load(os.path.join(entry.path, ENVIRONMENT_STATE)) or {}
            for place in (launch.get("environment"), built.get("place")):
                if isinstance(place, dict) and place.get("key"):
                    used.add(str(place["key"]))
    return used
