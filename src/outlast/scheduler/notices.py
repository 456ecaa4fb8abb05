"""Which run's folder changed, told to the loop.

Events are told at once; what a script logged is told at most every `LOGGED_S`, so that a training
loop doesn't cause a transaction for each point. Output is not ingested and so not told, but that a
session prints is, every `PRINTED_S`: somebody may want to know what its screen shows.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from typing import Protocol

from outlast.errors import NotFound
from outlast.journal.watch import Change, Watcher
from outlast.run.folder import END, EVENTS, LOGGED_PREFIX, SOCKET, TIMING, RunFolder

_log = logging.getLogger(__name__)

LOGGED_S = 0.1
PRINTED_S = 1.0
# After news that nobody acts on at once (a job that prints, a key and its echo) the next is looked
# at so much later: else a job that prints line by line would wake the server for each.
REST_S = 0.02
_AT_ONCE = frozenset((EVENTS, END, SOCKET, ""))


class Listener(Protocol):
    """Whoever acts on what is told here; called on the loop."""

    def on_appeared(self, run_id: str) -> None:
        """A folder has come into the folder of runs."""

    def on_changed(self, run_id: str) -> None:
        """There is something new to read in the run's folder, or the folder is gone."""

    def on_socket(self, run_id: str) -> None:
        """The run's supervisor has begun to listen."""

    def on_printed(self, run_id: str) -> None:
        """The session has printed something within the last second or so."""


class Notices:
    """Watches the folder of runs, and the folders of those that are not over."""

    def __init__(self, runs_folder: str, listener: Listener) -> None:
        self._runs_folder = os.path.abspath(runs_folder)
        self._listener = listener
        self._watcher = Watcher()
        self._watched: set[str] = set()
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._printing: dict[str, asyncio.TimerHandle] = {}
        self._watcher.add(self._runs_folder)
        self._resting: asyncio.TimerHandle | None = None
        self._listen()

    def watch(self, run_id: str) -> None:
        """Watch a run's folder; look at it once afterwards."""
        if run_id not in self._watched:
            try:
                self._watcher.add(self._path(run_id))
            except NotFound:
                return  # removed in this moment; the folder of runs tells
            self._watched.add(run_id)

    def forget(self, run_id: str) -> None:
        """The run is over: watch its folder no longer."""
        if run_id in self._watched:
            self._watched.discard(run_id)
            self._watcher.remove(self._path(run_id))
        for timers in (self._delayed, self._printing):
            timer = timers.pop(run_id, None)
            if timer is not None:
                timer.cancel()

    def look_now(self) -> None:
        """Tell what has been noticed up to now, also what was going to be told later."""
        self._tell(self._watcher.read())
        for run_id in list(self._delayed):
            self._delayed[run_id].cancel()
            self._on_delayed(run_id)

    def close(self) -> None:
        """Give all descriptors back."""
        if self._resting is not None:
            self._resting.cancel()
        asyncio.get_running_loop().remove_reader(self._watcher.fileno())
        for timers in (self._delayed, self._printing):
            for timer in timers.values():
                timer.cancel()
            timers.clear()
        self._watcher.close()

    def _path(self, run_id: str) -> str:
        return RunFolder(os.path.join(self._runs_folder, run_id)).path

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._watcher.fileno(), self._on_readable)

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._watcher.fileno())
        self._resting = loop.call_later(REST_S, self._listen)

    def _on_readable(self) -> None:
        changes = self._watcher.read()
        if all(folder != self._runs_folder and name not in _AT_ONCE for folder, name in changes):
            self._rest()
        self._tell(changes)

    def _tell(self, changes: Iterable[Change]) -> None:
        for folder, name in changes:
            if folder == self._runs_folder:
                self._on_runs_folder(name)
            else:
                self._on_run_folder(os.path.basename(folder), name)

    def _on_runs_folder(self, name: str) -> None:
        # "": more happened than the kernel keeps. Folders with a dot are nobody's run.
        names = [name] if name else os.listdir(self._runs_folder)
        for run_id in names:
            if not run_id.startswith(".") and run_id not in self._watched:
                self._listener.on_appeared(run_id)

    def _on_run_folder(self, run_id: str, name: str) -> None:
        if name in (EVENTS, END, ""):
            if not name and not os.path.isdir(self._path(run_id)):
                self._watched.discard(run_id)  # removed: the watch went with it
            self._listener.on_changed(run_id)
        elif name.startswith(LOGGED_PREFIX):
            if run_id not in self._delayed:
                loop = asyncio.get_running_loop()
                self._delayed[run_id] = loop.call_later(LOGGED_S, self._on_delayed, run_id)
        elif name == SOCKET:
            self._listener.on_socket(run_id)
        # Of sessions only; written ten times a second at most.
        elif name == TIMING and run_id not in self._printing:
            loop = asyncio.get_running_loop()
            self._printing[run_id] = loop.call_later(PRINTED_S, self._on_printed, run_id)

    def _on_delayed(self, run_id: str) -> None:
        self._delayed.pop(run_id, None)
        self._listener.on_changed(run_id)

    def _on_printed(self, run_id: str) -> None:
        del self._printing[run_id]
        self._listener.on_printed(run_id)
