"""Before the command: its environment is built, by a program that belongs to the run.

The program says in `environment.json` where it stands, and its last word is there before it ends;
so whoever takes over learns all from that file, and starts the program again when it was killed
without a word. It may be stopped like a command. The time limit of the run doesn't count yet.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from outlast.process import TICKS_PER_S, Identity
from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run.environment import Environment
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.supervisor import command, kernel
from outlast.supervisor.assignment import Launch
from outlast.supervisor.command import NOT_EXECUTABLE
from outlast.supervisor.loop import now_s, wall_ns
from outlast.supervisor.story import Past
from outlast.supervisor.supervision import Supervision
from outlast.supervisor.tree import plain

REASON = "environment"
_LOOK_S = 0.2  # at a builder that isn't a child and has no pidfd
_PYTHONS = ("python", "python3")
_STARTS = 2  # a builder that was killed is started once more


class Place(NamedTuple):
    """The environment that the command runs in, as launch.json or the builder tells it."""

    key: str
    prefix: str
    python: str
    variables: Mapping[str, str] = {}
    notes: Tuple[Tuple[str, str], ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Place:
        """Raises KeyError or TypeError when it isn't one."""
        notes = tuple((str(code), str(text)) for code, text in data.get("notes", ()))
        variables = {str(name): str(value) for name, value in data.get("variables", {}).items()}
        return cls(data["key"], data["prefix"], data["python"], variables, notes)


def standing(folder: RunFolder, attempt: int) -> Dict[str, Any]:
    """Where the build of this attempt stands; {} before it says so."""
    try:
        with open(folder.file(names.ENVIRONMENT_STATE), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and told.get("attempt") == attempt else {}


def built(folder: RunFolder, attempt: int) -> Optional[Place]:
    """The environment that was built for this attempt; None when it isn't there."""
    told = standing(folder, attempt)
    try:
        return Place.of(told["place"]) if told.get("step") == "ready" else None
    except (KeyError, TypeError, ValueError):
        return None


def place_of(launch: Launch, folder: RunFolder, attempt: int) -> Optional[Place]:
    """The environment of this attempt: there already, or built by now; else None."""
    return Place.of(launch.environment) if launch.environment else built(folder, attempt)


def tell_notes(supervision: Supervision, launch: Launch) -> None:
    """Say how the environment differs from what was asked for."""
    place = place_of(launch, supervision.folder, supervision.attempt)
    for code, text in place.notes if place else ():
        warned = ev.Warned(time.time_ns(), supervision.attempt, code, plain(text))
        supervision.story.tell(warned)


def inside(
    launch: Launch, environ: Mapping[str, str], spec: RunSpec, place: Place
) -> Tuple[Launch, Dict[str, str]]:
    """The command and its variables as in a shell in which the environment was activated."""
    inner = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):  # whichever the caller was in
        inner.pop(name, None)
    inner.update(place.variables)
    programs = os.path.dirname(place.python)
    path = environ.get("PATH", os.defpath)
    inner["PATH"] = programs + os.pathsep + path if path else programs
    for name, value in Environment.of(spec.environment).variables.items():
        if value is not None and name not in spec.variables:
            inner[name] = value
    words = launch.command
    if words and words[0] in _PYTHONS:
        words = (place.python, *words[1:])
    return launch._replace(command=words), inner


class Preparation:
    """Builds the environment of one attempt, then calls `ready`."""

    def __init__(self, supervision: Supervision, launch: Launch, ready: Callable[[], None]) -> None:
        self._supervision = supervision
        self._launch = launch
        self._ready = ready
        self._builder: Optional[Identity] = None
        self._starts = 0
        self._is_over = False

    def begin(self, past: Optional[Past] = None) -> None:
        """Start the program, or go on with the one that an earlier supervisor had started."""
        supervision = self._supervision
        supervision.stage = "preparing"
        supervision.when_child_ended = self.look
        told = past.preparing if past is not None else None
        if told is None:
            self._start()
            return
        self._builder = Identity(told.pid, told.start_ticks, told.boot_id)
        self._watch(max((told.deadline_ns - time.time_ns()) / 1e9, 0.0))
        self.look()

    def _start(self) -> None:
        supervision = self._supervision
        self._starts += 1
        try:
            pid = command.start(
                self._launch.prepare,
                supervision.environ,
                os.path.dirname(os.path.dirname(supervision.folder.path)),
                supervision.folder.file(names.ENVIRONMENT),
                umask=0o077,
            )
        except command.CannotStart as error:
            self._fail(f"the program that builds it can't be started: {error.message}")
            return
        self._builder = Identity.of(pid)
        assert self._builder is not None, "it isn't reaped, so it is in /proc"
        left_s = supervision.spec.limits.prepare_s
        what = Environment.of(supervision.spec.environment).title
        deadline_ns = wall_ns(now_s() + left_s)
        supervision.story.tell(
            ev.Preparing(time.time_ns(), supervision.attempt, *self._builder, what, deadline_ns)
        )
        self._watch(left_s)

    def _watch(self, left_s: float) -> None:
        supervision, builder = self._supervision, self._builder
        assert builder is not None, "it was started"

        def too_long() -> None:
            allowed_s = supervision.spec.limits.prepare_s
            supervision.reach("prepare_s", allowed_s, now_s() - builder.start_ticks / TICKS_PER_S)

        supervision.loop.after("prepare", left_s, too_long)
        if not _is_child(builder.pid):
            self._look_again()

    def _look_again(self) -> None:
        """No signal tells the end of a process that isn't a child."""
        if not self._is_over:
            self._supervision.loop.after("builder", _LOOK_S, self._look_again)
            self.look()

    def look(self) -> None:
        """Has the program ended? Called at each SIGCHLD."""
        builder = self._builder
        if self._is_over or builder is None:
            return
        _reap_all()
        if not builder.is_alive():
            self._ended()

    def _ended(self) -> None:
        supervision = self._supervision
        told = standing(supervision.folder, supervision.attempt)
        if supervision.seen.stop_reason:
            self._close()
            supervision.end_unbegun()
            return
        place = built(supervision.folder, supervision.attempt)
        if place is not None:
            self._close()
            prepared = ev.Prepared(time.time_ns(), supervision.attempt, place.key, place.prefix)
            supervision.story.tell(prepared)
            self._ready()
        elif told.get("step") == "failed":
            self._fail(str(told.get("reason", "")))
        elif self._starts < _STARTS:
            self._start()
        else:
            self._fail("the program that builds it was ended twice before it was done")

    def _fail(self, message: str) -> None:
        self._close()
        self._supervision.fail_to_start(REASON, message, NOT_EXECUTABLE)

    def _close(self) -> None:
        self._is_over = True
        self._supervision.when_child_ended = None
        self._supervision.loop.cancel("prepare")
        self._supervision.loop.cancel("builder")


def _is_child(pid: int) -> bool:
    try:
        kernel.peek_exit(pid)
        return True
    except ChildProcessError:
        return False


def _reap_all() -> None:
    """No command runs yet, so nobody's exit status is needed."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return
