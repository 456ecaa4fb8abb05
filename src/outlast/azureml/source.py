"""Where a Run of these names gets its facts: the process it runs in, its folder, the server.

A run of this process is written and read without a server. A run from outside is asked of the
server; where its folder is on this machine it can be logged into as well.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

from outlast.azureml import reach
from outlast.azureml.exceptions import UserErrorException
from outlast.run.folder import END, RunFolder
from outlast.runtime import Run as NativeRun

if TYPE_CHECKING:
    from outlast.sdk.handle import RunHandle
    from outlast.sdk.workspace import Workspace as Client

TERMINAL = ("Completed", "Failed", "Canceled")
BEGUN = ("Running", "Finalizing", "CancelRequested", "NotResponding")
# The server stores the outputs of a run that has ended; longer than this something is wrong.
SETTLED_WITHIN_S = 30.0


class RunSource:
    """One run: `native` inside its own process, else by id in the workspace at `home`."""

    def __init__(self, run_id: str, home: Optional[str], native: Optional[NativeRun]) -> None:
        self._id = run_id
        self._home = home
        self._native = native
        self._logger = native  # what it logs into, until it is over
        self._outside: Optional[NativeRun] = None  # writes into a run of another process
        self._known: Optional[RunHandle] = None
        self._has_ended = False  # by this object

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def _is_inside(self) -> bool:
        """Is it the run of this process, and not over?"""
        return self._native is not None and not self._has_ended

    def _client(self) -> Client:
        return reach.workspace(self._home)

    def _handle(self) -> RunHandle:
        if self._known is None:
            self._known = reach.handle(self._client(), self._id)
        return self._known

    def _folder(self) -> Optional[RunFolder]:
        """The run's folder, where it is on this machine."""
        if self._native is not None:
            return RunFolder(self._native.folder)
        client = self._client()
        return None if client.url else reach.folder(str(client.home), self._id)

    def _writer(self) -> NativeRun:
        if self._logger is not None:
            return self._logger
        # Of another process: it may be over any time, and what comes later would be lost.
        folder = self._folder()
        if folder is None or self._has_ended or os.path.exists(folder.file(END)):
            raise UserErrorException(
                f"run {self._id} is over or on another machine: nothing can be logged into it"
            )
        if self._outside is None:
            self._outside = NativeRun(folder)
        return self._outside

    def _is_over(self) -> bool:
        if self._is_inside:
            return False
        return self._status() in TERMINAL

    def _status(self) -> str:
        """The status now; of a run that this object has just ended, what it becomes of it."""
        if self._is_inside:
            return "Running"
        self._wait_noticed()
        return self._handle().status

    def _wait_noticed(self) -> None:
        """Until the server knows that the run has begun, or its end where this object ended it."""
        handle = self._handle()
        if self._has_ended:
            self._wait_until(handle, TERMINAL)
        elif self._is_inside:
            self._wait_until(handle, (*TERMINAL, *BEGUN))

    def _wait_until(self, handle: RunHandle, statuses: Sequence[str]) -> None:
        version, state = handle.state()
        while state["status"] not in statuses:
            found, state = handle.state(version, wait_s=SETTLED_WITHIN_S)
            if found == version:
                return
            version = found

    def _spec(self) -> Dict[str, Any]:
        """The run's spec: what was asked for."""
        folder = self._folder()
        found = reach.facts_of_spec(folder) if folder is not None else {}
        return found or dict(self._handle().fetch()["spec"])

    def _where(self) -> Optional[str]:
        """The workspace's folder, None for the one that the settings say."""
        return reach.home_of(RunFolder(self._native.folder)) if self._native else self._home

    def _patch(self, **change: Any) -> None:
        """Change the run's tags, properties or name on the server."""
        from urllib.parse import quote

        handle = self._handle()
        handle.connection.patch(f"/api/runs/{quote(self._id, safe='')}", change)

    def _log_path(self) -> str:
        """Where what the run prints lies, "" when that isn't on this machine."""
        folder = self._folder()
        path = folder.file("output") if folder is not None else ""
        return path if os.path.exists(path) else ""
