"""What has become of a run that nobody in this process watches: found, then judged.

`look` reads the folder and /proc; `judge` is pure: go on watching, take over, or call it lost.
They are asked when the server starts, when a folder appears, and when a supervisor died. Lost needs
proof: no supervisor, no process of the run and no exit record, or another boot of the machine.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

import sqlalchemy as sa

from outlast.errors import Invalid
from outlast.executors.executor import ALIVE, REBOOTED, Executor, Sight
from outlast.ids import check_run_id
from outlast.journal.trim import trim
from outlast.process import Identity
from outlast.run import events as ev
from outlast.run import state as runs
from outlast.run.folder import END, LAUNCH, SPEC, SUPERVISOR_LOG, RunFolder
from outlast.run.state import RunState
from outlast.store import runs as store_runs
from outlast.store import schema
from outlast.store.database import Database

# A script makes the folder of its interactive run and then starts the supervisor.
UNBORN_S = 10.0
TAKEOVERS_AT_MOST = 3  # of one attempt in the life of one server


class Found(NamedTuple):
    """What there is of a run."""

    sight: Sight
    has_folder: bool = True
    has_end: bool = False  # end.json of this attempt stands
    remains: int = 0  # live processes of the run
    age_s: float = 0.0  # of its spec
    log: str = ""  # last line that the supervisor complained with


class Watch(NamedTuple):
    """A process supervises it: watch that."""

    supervisor: Identity


class TakeOver(NamedTuple):
    """Start a supervisor that ends what is there properly."""


class Wait(NamedTuple):
    """Too early to tell: look again later."""

    delay_s: float


Verdict = Watch | TakeOver | Wait | ev.Lost | ev.LaunchFailed


def look(folder: RunFolder, state: RunState, executor: Executor, now_s: float) -> Found:
    """Everything that the verdict needs. Blocks for some milliseconds: call it from a thread."""
    sight = executor.poll(folder, state.supervisor)
    if sight.found == ALIVE:
        return Found(sight)
    try:
        age_s = max(0.0, now_s - os.stat(folder.file(SPEC)).st_mtime)
    except FileNotFoundError:
        return Found(sight, has_folder=False)
    remains = 0 if sight.found == REBOOTED else len(executor.remains(folder))
    has_end = _has_end(folder, state.attempt)
    return Found(sight, True, has_end, remains, age_s, _last_line(folder.file(SUPERVISOR_LOG)))


def judge(state: RunState, found: Found, takeovers: int, t_ns: int) -> Verdict:
    """What follows, for a run that is neither over nor has an outcome."""
    if found.sight.supervisor is not None:
        return Watch(found.sight.supervisor)
    if not found.has_folder:
        return _lost(state, t_ns, "folder_gone", "its folder was removed while it was not over")
    if state.status == runs.NOT_STARTED and found.age_s < UNBORN_S:
        return Wait(UNBORN_S - found.age_s)
    # Exited or finished by its owner: what is still to be done doesn't depend on live processes.
    has_exited = state.stage in (runs.LEFTOVERS, runs.OUTPUTS)
    # The owner of an interactive run isn't one of its processes: the new supervisor looks for it.
    may_have_owner = state.kind == "interactive" and state.main is not None
    may_have_owner = may_have_owner and found.sight.found != REBOOTED
    is_worth_it = found.remains > 0 or has_exited or found.has_end or may_have_owner
    if is_worth_it and takeovers < TAKEOVERS_AT_MOST:
        return TakeOver()
    said = f"; its supervisor said: {found.log}" if found.log else ""
    if found.sight.found == REBOOTED:
        message = "the machine was started anew while it ran"
        return _lost(state, t_ns, "rebooted", message)
    if state.main is None and state.kind != "interactive":
        return ev.LaunchFailed(t_ns, state.attempt, f"its supervisor died before the command{said}")
    message = "its supervisor and every process of it are gone, and none left an exit record"
    return _lost(state, t_ns, "process_gone", message + said)


def silent_too_long(state: RunState, t_ns: int) -> ev.Lost:
    """The verdict on a supervisor that exists and has said nothing for too long."""
    return _lost(state, t_ns, "silent_too_long", "its supervisor gave no sign of life for too long")


def unfinished(database: Database, runs_folder: str) -> tuple[list[str], list[str]]:
    """The runs to look at when the server starts: (those with a folder, those without one).

    Besides those that aren't over: those called lost, since their supervisor may have ended them
    after all; those with outputs still to be stored; those whose launch.json is still there.
    """
    runs_c = schema.runs.c
    query = sa.select(runs_c.id, runs_c.status, runs_c.cause)
    is_over = runs_c.status.in_(sorted(runs.TERMINAL))
    unstored = sa.select(runs_c.id, runs_c.state).where(
        is_over, runs_c.state.like('%"is_committed":false%'), runs_c.status != runs.COMPLETED
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
        waiting = {
            run_id
            for run_id, state in connection.execute(unstored)
            if RunState.from_dict(json.loads(state)).manifest
        }
    settled = {row.id for row in rows if row.status in runs.TERMINAL and row.cause != "lost"}
    settled -= waiting
    names = [name for name in sorted(os.listdir(runs_folder)) if _is_run(runs_folder, name)]
    have_folder = [
        name
        for name in names
        if name not in settled or os.path.exists(os.path.join(runs_folder, name, LAUNCH))
    ]
    open_ids = {row.id for row in rows if row.status not in runs.TERMINAL}
    return have_folder, sorted(open_ids - set(names))


def restore_folder(database: Database, folder: RunFolder) -> None:
    """Make the folder of a run that isn't over again, as one whose journals were trimmed away.

    So its end can be written where every end is written, and no offset is used twice.
    """
    with database.read() as connection:
        spec = store_runs.spec_of(connection, folder.run_id)
        query = sa.select(schema.cursors.c.journal, schema.cursors.c.offset).where(
            schema.cursors.c.run == store_runs.key_of(connection, folder.run_id)
        )
        offsets = connection.execute(query).all()
    making = RunFolder(
        os.path.join(os.path.dirname(folder.path), f".making-{folder.run_id}-{os.getpid()}")
    )
    os.makedirs(making.path, mode=0o700, exist_ok=True)
    with open(making.file(SPEC), "w", encoding="utf-8") as file:
        json.dump(spec.to_dict(), file, indent=1)
    for journal, offset in offsets:
        with open(making.file(journal), "wb") as file:
            file.truncate(offset)
        trim(making.file(journal), offset)
    os.rename(making.path, folder.path)


def _is_run(runs_folder: str, name: str) -> bool:
    try:
        check_run_id(name)
    except Invalid:
        return False
    return os.path.exists(os.path.join(runs_folder, name, SPEC))


def _has_end(folder: RunFolder, attempt: int) -> bool:
    try:
        with open(folder.file(END), "rb") as file:
            return bool(json.load(file)["attempt"] == attempt)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lost(state: RunState, t_ns: int, evidence: str, message: str) -> ev.Lost:
    return ev.Lost(t_ns, state.attempt, evidence, message)


def _last_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
