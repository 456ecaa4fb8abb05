"""The end of a run, once not one process of it is left: outputs, verdict, last word.

Order: output and journals synced; outputs collected; manifest.json; `ended` on the disk; end.json.
Whoever reads end.json therefore finds everything that it speaks of. When the disk is full, a step
that has no room set aside is tried until there is some.
"""

from __future__ import annotations

import _thread
import json
import os
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run import manifest as manifests
from outlast.run import verdict as verdicts
from outlast.run.folder import RunFolder
from outlast.supervisor import durable, logged_errors
from outlast.supervisor.assignment import Assignment
from outlast.supervisor.collect import Abandoned, Collected, Collector
from outlast.supervisor.complaint import complain
from outlast.supervisor.logged_errors import LoggedErrors
from outlast.supervisor.loop import Loop
from outlast.supervisor.owner import names_in
from outlast.supervisor.story import Story

_WRITTEN_ON = (
    names.OUTPUT,
    names.ENVIRONMENT,
    names.TIMING,
    names.COMMANDS,
)  # until the last process ended
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0


class Gathered:
    """What the thread found; an error in it is raised again by the loop."""

    def __init__(self) -> None:
        self.collected = Collected((), (), ())
        self.errors = LoggedErrors()
        self.failure: Optional[BaseException] = None


class Ending:
    """Ends one attempt; calls `finished` when end.json is there."""

    def __init__(
        self, assignment: Assignment, story: Story, loop: Loop, finished: Callable[[], None]
    ) -> None:
        self._assignment = assignment
        self._folder: RunFolder = assignment.folder
        self._story = story
        self._loop = loop
        self._finished = finished
        self._collector: Optional[Collector] = None
        self._manifest = b""
        self._ended: Optional[ev.Ended] = None
        self._is_told = False
        self._retry_s = _FIRST_RETRY_S

    def gather(
        self,
        collector: Optional[Collector],
        output_offset: Optional[int],
        gathered: Callable[[Gathered], None],
    ) -> None:
        """Read everything in a thread, then call `gathered` in the loop.

        `collector` None: there is nothing to collect. `output_offset` None: errors in the output
        aren't looked for.
        """
        self._collector = collector
        found = Gathered()
        done, tell = os.pipe()

        def work() -> None:
            try:
                sync_journals(self._folder)
                if collector is not None:
                    found.collected = collector.collect()
                if output_offset is not None:
                    output = self._folder.file(names.OUTPUT)
                    found.errors = logged_errors.find(output, output_offset)
            except Abandoned:
                found.collected = Collected((), (), ())
            except BaseException as error:
                found.failure = error
            finally:
                os.close(tell)

        def take() -> None:
            self._loop.forget(done)
            os.close(done)
            self._collector = None
            if found.failure is not None:
                raise found.failure
            gathered(found)

        self._loop.watch(done, take)
        _thread.start_new_thread(work, ())

    def abandon(self) -> None:
        """Don't go on reading outputs."""
        if self._collector is not None:
            self._collector.abandon()

    def judge(self, seen: verdicts.Observed, facts: Dict[str, Any], found: Gathered) -> None:
        """Tell the outcome and write it down; `finished` is called when it is on the disk."""
        spec = self._assignment.spec
        fatal: List[Tuple[str, str, str]] = list(seen.problems)
        for problem in found.collected.problems:
            story = ev.OutputProblem(time.time_ns(), self._assignment.attempt, *problem)
            if problem[:3] not in fatal:
                self._story.tell(story)
                if problem.is_fatal:
                    fatal.append(problem[:3])
        seen = seen._replace(problems=tuple(fatal), logged_errors=found.errors.found)
        verdict = verdicts.judge(
            spec.kind, spec.policy.leftovers, spec.policy.on_logged_error, seen
        )
        if verdict.outcome == "completed":
            self._warn_of_errors(found.errors)
        digest = self._made_manifest(found.collected)
        facts = {**facts, **found.errors.facts()}
        self.end(ev.Ended(0, self._assignment.attempt, *verdict, facts, digest))

    def end(self, ended: ev.Ended) -> None:
        """Write the last word down; `finished` is called when it is on the disk."""
        self._ended = ended._replace(t_ns=ended.t_ns or time.time_ns())
        self._persist()

    def end_again(self, ended: ev.Ended) -> None:
        """The last word was told, but end.json is missing: write it."""
        self._is_told = True
        self.end(ended)

    def _warn_of_errors(self, errors: LoggedErrors) -> None:
        if not errors.found:
            return
        plural = "an error was" if errors.found == 1 else f"{errors.found} errors were"
        message = f"{plural} logged in its output, though it ended well: {errors.last_line}"
        warned = ev.Warned(
            time.time_ns(), self._assignment.attempt, "logged_errors", message, errors.facts()
        )
        self._story.tell(warned)

    def _made_manifest(self, collected: Collected) -> str:
        if not collected.entries:
            return ""
        manifest = manifests.made(
            self._assignment.spec.id,
            self._assignment.attempt,
            collected.entries,
            collected.foreign,
        )
        self._manifest = manifest.to_json()
        return manifest.digest()

    def _persist(self) -> None:
        """One step after the other; from the beginning again when the disk refuses one."""
        assert self._ended is not None, "called by end()"
        try:
            if self._manifest:
                durable.write(self._folder.file(names.MANIFEST), self._manifest)
                self._manifest = b""
            if not self._is_told:
                self._story.tell(self._ended)
                self._is_told = True
            if not self._story.sync():
                raise OSError(0, "the last event isn't on the disk yet")
            end = json.dumps(ev.to_record(self._ended)).encode()
            durable.write(self._folder.file(names.END), end)
        except OSError as error:
            self._retry(error)
            return
        self._finished()

    def _retry(self, error: OSError) -> None:
        if not os.path.isdir(self._folder.path):
            complain(f"{self._folder.path} is gone: nothing is left to tell")
            self._finished()
            return
        if self._retry_s == _FIRST_RETRY_S:
            complain(f"the end isn't written yet: {error}")
        self._loop.after("persist", self._retry_s, self._persist)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)


def sync_journals(folder: RunFolder) -> None:
    """Put what the job wrote into the run's folder on the disk, as far as the disk takes it."""
    for name in names_in(folder):
        if name in _WRITTEN_ON or name.startswith(names.LOGGED_PREFIX):
            sync_file(folder.file(name))


def sync_file(path: str) -> None:
    """fdatasync of one file of the job; one that can't be opened or kept is left as it is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.fdatasync(fd)
    except OSError as error:
        complain(f"{path} can't be put on the disk: {error.strerror}")
    finally:
        os.close(fd)
