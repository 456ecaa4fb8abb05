"""The run's `events`: what the supervisor tells, and what an earlier one has told.

Telling never fails: what the disk has no room for waits in memory, in order, and is written when
room returns. The job notices nothing of it. `Past` reads it back for whoever takes over.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Set, Tuple

from outlast.errors import DiskFull, JournalError
from outlast.journal.writer import Writer
from outlast.run import events as ev
from outlast.supervisor.complaint import complain
from outlast.supervisor.loop import Loop

_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0


class Story:
    """Appends events, and keeps trying."""

    def __init__(self, path: str, loop: Loop) -> None:
        self._path = path
        self._loop = loop
        self._writer: Optional[Writer] = None
        self._waiting: List[Dict[str, Any]] = []
        self._is_synced = True
        self._retry_s = _FIRST_RETRY_S
        self._complaint = ""

    def tell(self, event: ev.Event) -> None:
        """Append one event, now or as soon as there is room; in the order told."""
        self._waiting.append(ev.to_record(event))
        self._is_synced = False
        self._write()

    def sync(self) -> bool:
        """Is everything told so far on the disk? Tries once; a timer goes on trying."""
        if self._is_synced:
            return True
        if not self._write():
            return False
        assert self._writer is not None, "something was told, so a writer wrote it"
        try:
            self._writer.sync()
        except JournalError as error:
            self._stuck(error)
            return False
        self._is_synced = True
        return True

    def _write(self) -> bool:
        try:
            if self._writer is None:
                self._writer = Writer(self._path)
            while self._waiting:
                self._writer.append(self._waiting[0])
                del self._waiting[0]
        except JournalError as error:
            self._stuck(error)
            return False
        self._retry_s = _FIRST_RETRY_S
        self._loop.cancel("story")
        return True

    def _stuck(self, error: JournalError) -> None:
        if not isinstance(error, DiskFull):  # the writer sealed itself: begin with a new one
            if self._writer is not None:
                self._writer.close()
            self._writer = None
        if error.message != self._complaint:
            self._complaint = error.message
            complain(f"{error.message}; trying again")
        self._loop.after("story", self._retry_s, self._retry)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _retry(self) -> None:
        self.sync()


class Past:
    """What `events` tells of one attempt, for a supervisor that takes over or starts again."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.is_supervised = False
        self.preparing: Optional[ev.Preparing] = None
        self.is_prepared = False
        self.started: Optional[ev.Started] = None
        self.start_failed: Optional[ev.StartFailed] = None
        self.exited: Optional[ev.Exited] = None
        self.stoppings: List[ev.Stopping] = []
        self.stopped_main = False
        self.limit = ""
        self.owner: Optional[ev.OwnerEnded] = None
        self.leftover_pids: Set[int] = set()
        self.is_tree_ended = False
        self.is_orphaned = False
        self.problems: List[Tuple[str, str, str]] = []
        self.ended: Optional[ev.Ended] = None

    @classmethod
    def read(cls, path: str, attempt: int) -> Past:
        """Damaged records are passed over: what was understood is what is known."""
        past = cls(attempt)
        if not os.path.exists(path):
            return past
        from outlast.journal.cursor import Cursor  # nothing for a first start to pay

        with Cursor(path) as cursor:
            batch = cursor.read_records()
            while batch.records or batch.corrupt:
                for record in batch.records:
                    past._add(record)
                batch = cursor.read_records()
        return past

    def _add(self, record: Dict[str, Any]) -> None:
        if record.get("attempt") != self.attempt:
            return
        event = ev.from_record(record)
        if isinstance(event, ev.Supervised):
            self.is_supervised = True
        elif isinstance(event, ev.Started):
            self.started = event
        elif isinstance(event, ev.StartFailed):
            self.start_failed = event
        elif isinstance(event, ev.Exited):
            self.exited = event
        elif isinstance(event, ev.Stopping):
            self.stopped_main = self.stopped_main or self.exited is None
            self.stoppings.append(event)
        elif isinstance(event, ev.LimitReached):
            self.limit = self.limit or event.limit
        else:
            self._add_end(event)

    def _add_end(self, event: Optional[ev.Event]) -> None:
        if isinstance(event, ev.OwnerEnded):
            self.owner = event
        elif isinstance(event, ev.Preparing):
            self.preparing = event
        elif isinstance(event, ev.Prepared):
            self.is_prepared = True
        elif isinstance(event, ev.Leftovers):
            self.leftover_pids.update(int(process["pid"]) for process in event.processes)
        elif isinstance(event, ev.TreeEnded):
            self.is_tree_ended = True
        elif isinstance(event, ev.Orphaned):
            self.is_orphaned = True
        elif isinstance(event, ev.OutputProblem):
            problem = (event.path, event.problem, event.message)
            if event.is_fatal and problem not in self.problems:
                self.problems.append(problem)
        elif isinstance(event, ev.Ended):
            self.ended = event
