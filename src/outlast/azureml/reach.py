"""From here to `outlast` itself: its client where there is one, and runs of this machine by folder.

In a job whose environment has no Outlast only the run side exists: what needs the server says so.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Dict, Optional

from outlast.azureml.exceptions import ServiceException
from outlast.errors import NotFound
from outlast.run.folder import RunFolder
from outlast.runtime.interactive import default_home

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle
    from outlast.sdk.workspace import Workspace

# A running server learns of a new folder within milliseconds; one that starts reads them first.
NOTICED_WITHIN_S = 10.0
LOOK_S = 0.02

_workspaces: Dict[str, Workspace] = {}


def workspace(home: Optional[str] = None) -> Workspace:
    """The client of the workspace at `home` (default: as the settings say), one for each.

    Raises RunEnvironmentException where Outlast isn't installed.
    """
    from outlast.sdk.workspace import Workspace as Client  # the hook tells where there is none

    key = home or ""
    if key not in _workspaces:
        # Of a given home it is that folder's; else a server elsewhere may be set.
        _workspaces[key] = Client(home)
    return _workspaces[key]


def folder(home: str, run_id: str) -> Optional[RunFolder]:
    """The run's folder, where it is on this machine."""
    found = RunFolder(os.path.join(os.path.abspath(home), "runs", run_id))
    return found if os.path.isdir(found.path) else None


def home_of(folder: RunFolder) -> str:
    """The workspace's folder."""
    return os.path.dirname(os.path.dirname(folder.path))


def handle(client: Workspace, run_id: str) -> RunHandle:
    """The run as the server knows it. Raises ServiceException when there is none."""
    from outlast.sdk.handle import RunHandle

    found = RunHandle(client.connection, run_id)
    deadline = time.monotonic() + NOTICED_WITHIN_S
    while True:
        try:
            found.fetch()
            return found
        except NotFound as error:
            is_new = not client.url and folder(str(client.home), run_id) is not None
            if not is_new or time.monotonic() > deadline:
                raise ServiceException(error.message) from None
        time.sleep(LOOK_S)  # a server tells nobody when it has noticed a folder


def facts_of_spec(folder: RunFolder) -> Dict[str, Any]:
    """The run's spec as it was written down; {} where it can't be read."""
    import json

    from outlast.run.folder import SPEC

    try:
        with open(folder.file(SPEC), encoding="utf-8") as file:
            found: Dict[str, Any] = json.load(file)
            return found
    except (OSError, ValueError):  # a run on another node may hide its spec
        return {}


def default_folder() -> str:
    """The workspace's folder that this process would use."""
    return default_home()
