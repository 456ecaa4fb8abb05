"""Everything that the rules may look at, as plain values: a recorded Evidence is a JSON file.

Rules read no file, no clock and no /proc; whatever they need is a field here, filled in by
`gather`. A field that couldn't be read is empty, and `unread` says why.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

from outlast import process
from outlast.errors import JournalError
from outlast.journal.trim import first_offset
from outlast.run import events as ev
from outlast.run.folder import LEASE, OUTPUT, RunFolder
from outlast.run.logged import NON_FINITE
from outlast.run.spec import RunSpec
from outlast.run.state import ACTIVE, FINALIZING, RUNNING, InvalidTransition, RunState, replay
from outlast.units import NS_PER_S
from outlast.why import (
    building,
    inputs,
    output,
    processes,
    ranks,
    stacks,
    story,
    surroundings,
    sweeping,
)
from outlast.why.building import Building
from outlast.why.place import QueuePlace
from outlast.why.processes import ProcessSeen
from outlast.why.ranks import RanksSeen
from outlast.why.story import Told
from outlast.why.surroundings import LastMetric, Stray
from outlast.why.sweeping import SweepSeen

# A run that prints and logs nothing and uses no cpu for so long is called silent.
SILENT_S = 60.0
BUSY_PERCENT = 1.0
BUSY_IO_BYTES_PER_S = 1000.0
DUMPED_PROCESSES = 4


class Wish(NamedTuple):
    """A model that the run asked to be registered."""

    name: str
    path: str
    t_ns: int


class Found(NamedTuple):
    """An event of the present attempt, and where it stands."""

    event: Any
    journal: str
    offset: int


@dataclass(frozen=True)
class Evidence:
    """What was seen of one run at `now_ns`."""

    now_ns: int
    spec: RunSpec
    state: RunState
    story: tuple[Told, ...] = ()
    output_size: int = 0
    output_tail: bytes = b""
    output_tail_offset: int = 0
    output_first: int = 0  # what was printed before this offset was dropped
    last_output_ns: int = 0
    last_metric: LastMetric | None = None
    processes: tuple[ProcessSeen, ...] = ()
    supervisor: ProcessSeen | None = None
    python_stacks: tuple[tuple[int, str], ...] = ()  # (pid, what py-spy said)
    heartbeat_ns: int = 0
    free_disk_bytes: int | None = None
    boot_id: str = ""  # of this machine now
    queue: QueuePlace | None = None
    strays: tuple[Stray, ...] = ()
    written: tuple[Stray, ...] = ()  # outputs that are there while it runs
    near_commands: tuple[str, ...] = ()
    build: Building | None = None  # of its environment
    is_unbuffered: bool = False  # its environment tells Python to print at once
    ranks: RanksSeen | None = None  # of a distributed run
    sweep: SweepSeen | None = None  # of a sweep
    changed_inputs: tuple[str, ...] = ()  # since they were registered
    registrations: tuple[Wish, ...] = ()  # that wait
    notes: tuple[str, ...] = ()  # of the server
    unread: tuple[str, ...] = ()  # what couldn't be read, and why

    @property
    def id(self) -> str:
        return self.spec.id

    @cached_property
    def lines(self) -> tuple[output.Line, ...]:
        """The last lines that this attempt printed; of ranks, that of the one that failed first."""
        started = self.last(ev.Started)
        begun = started.event.output_offset if started else 0
        lines = output.read_lines(self.output_tail, self.output_tail_offset, begun)
        if self.ranks is not None and self.ranks.failed >= 0:
            return output.lines_of_rank(lines, self.ranks.failed)
        return lines

    @cached_property
    def traceback(self) -> output.Traceback | None:
        """The last Python traceback that this attempt printed, its place as the user names it."""
        found = output.last_traceback(self.lines)
        if found is None or not self.folder:
            return found
        return found._replace(place=found.place.removeprefix(self.folder + "/"))

    @property
    def folder(self) -> str:
        """The working folder; "" when the command was never started."""
        started = self.last(ev.Started)
        return str(started.event.folder) if started else ""

    def each(self, kind: type[Any]) -> Iterator[Found]:
        """This attempt's events of this kind, oldest first."""
        for told in self.story:
            attempt = getattr(told.event, "attempt", self.state.attempt)
            if isinstance(told.event, kind) and attempt == self.state.attempt:
                yield Found(*told)

    def last(self, kind: type[Any]) -> Found | None:
        """The last event of this kind in this attempt."""
        found = None
        for item in self.each(kind):
            found = item
        return found

    @property
    def active_ns(self) -> int:
        """When the run was last seen to do something: it printed, logged or began."""
        metric_ns = self.last_metric.t_ns if self.last_metric else 0
        started = self.last(ev.Started)
        started_ns = started.event.t_ns if started else self.state.started_ns
        return max(self.last_output_ns, metric_ns, started_ns)

    @property
    def cpu_percent(self) -> float:
        """Of one cpu, all processes together."""
        return sum(seen.cpu_percent for seen in self.processes)

    @property
    def io_bytes_per_s(self) -> float:
        return sum(seen.io_bytes_per_s or 0.0 for seen in self.processes)

    @property
    def is_silent(self) -> bool:
        """Neither a word nor work for SILENT_S, as far as the processes can be seen."""
        if self.spec.kind == "sweep":
            return False  # its trials work
        is_busy = self.cpu_percent >= BUSY_PERCENT or self.io_bytes_per_s >= BUSY_IO_BYTES_PER_S
        age_ns = self.now_ns - self.active_ns
        return bool(self.processes) and not is_busy and age_ns >= SILENT_S * NS_PER_S

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is empty; `from_dict` reads it back to an equal value."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["spec"] = _short(self.spec.to_dict(), RunSpec(self.spec.id).to_dict(), "id")
        data["state"] = _short(self.state.to_dict(), RunState().to_dict())
        data["story"] = [
            {"journal": told.journal, "offset": told.offset, "record": ev.to_record(told.event)}
            for told in self.story
        ]
        data["output_tail"] = self.output_tail.decode("utf-8", "surrogateescape")
        data["last_metric"] = _metric_to_dict(self.last_metric)
        data["processes"] = [_seen_to_dict(seen) for seen in self.processes]
        data["supervisor"] = _seen_to_dict(self.supervisor) if self.supervisor else None
        data["queue"] = self.queue.to_dict() if self.queue else None
        data["build"] = self.build._asdict() if self.build else None
        data["ranks"] = self.ranks._asdict() if self.ranks else None
        data["sweep"] = self.sweep._asdict() if self.sweep else None
        data["registrations"] = [wish._asdict() for wish in self.registrations]
        data["strays"] = [stray._asdict() for stray in self.strays]
        data["written"] = [output._asdict() for output in self.written]
        kept = ("now_ns", "free_disk_bytes")  # where 0 isn't the same as nothing
        return {k: v for k, v in data.items() if v or (k in kept and v is not None)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """Raises Invalid or KeyError when it isn't a recorded Evidence."""
        values = {item.name: data[item.name] for item in fields(cls) if item.name in data}
        values["spec"] = RunSpec.from_dict(data["spec"])
        values["state"] = RunState.from_dict(data.get("state", {}))
        values["story"] = tuple(_told(item) for item in data.get("story", ()))
        values["output_tail"] = data.get("output_tail", "").encode("utf-8", "surrogateescape")
        if "last_metric" in data:
            values["last_metric"] = _metric_from_dict(data["last_metric"])
        values["processes"] = tuple(_seen(item) for item in data.get("processes", ()))
        if "supervisor" in data:
            values["supervisor"] = _seen(data["supervisor"])
        if "queue" in data:
            values["queue"] = QueuePlace.from_dict(data["queue"])
        values["registrations"] = tuple(Wish(**item) for item in data.get("registrations", ()))
        values["strays"] = tuple(Stray(**item) for item in data.get("strays", ()))
        values["written"] = tuple(Stray(**item) for item in data.get("written", ()))
        values["python_stacks"] = tuple((pid, text) for pid, text in data.get("python_stacks", ()))
        if "build" in data:
            values["build"] = Building(**data["build"])
        if "ranks" in data:
            values["ranks"] = RanksSeen(**data["ranks"])
        if "sweep" in data:
            values["sweep"] = SweepSeen(**data["sweep"])
        values["is_unbuffered"] = bool(data.get("is_unbuffered", False))
        for name in ("changed_inputs", "near_commands", "notes", "unread"):
            values[name] = tuple(data.get(name, ()))
        return cls(**values)


def _short(data: dict[str, Any], empty: Mapping[str, Any], *kept: str) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k in kept or v != empty.get(k)}


def _told(item: Mapping[str, Any]) -> Told:
    event = ev.from_record(item["record"])
    if event is None:
        raise KeyError(f"unknown event: {item['record']}")
    return Told(event, item["journal"], item["offset"])


def _seen_to_dict(seen: ProcessSeen) -> dict[str, Any]:
    empty = ProcessSeen(0, 0, "")._asdict()
    return _short(seen._asdict(), empty, "pid", "ppid", "command")


def _seen(item: Mapping[str, Any]) -> ProcessSeen:
    return ProcessSeen(**{**item, "writes": tuple(item.get("writes", ()))})


def _metric_to_dict(metric: LastMetric | None) -> dict[str, Any] | None:
    if metric is None:
        return None
    data = metric._asdict()
    if isinstance(metric.value, float) and not math.isfinite(metric.value):
        data.update(value=None, non_finite=str(metric.value))
    return data


def _metric_from_dict(data: Mapping[str, Any]) -> LastMetric:
    value = NON_FINITE[data["non_finite"]] if "non_finite" in data else data["value"]
    return LastMetric(data["name"], value, data["step"], data["t_ns"])


def gather(
    folder: RunFolder,
    spec: RunSpec,
    state: RunState,
    *,
    queue: QueuePlace | None = None,
    last_metric: LastMetric | None = None,
    registrations: Sequence[Wish] = (),
    notes: Sequence[str] = (),
    sample_s: float = 0.2,
) -> Evidence:
    """Look at everything that bears on this run; takes `sample_s` when processes of it live.

    A silent Python process is also looked into by py-spy, if that is installed (up to 10 s each).
    Never raises for what is missing or unreadable: `unread` of the result says so.
    """
    told, unread = story.read_story(folder)
    state, behind = _latest(spec, state, told)
    first = _first_offset(folder)
    tail, tail_offset, size, last_output_ns, problem = _read_output(folder, first)
    found = Evidence(
        now_ns=time.time_ns(),
        spec=spec,
        state=state,
        story=told,
        output_size=size,
        output_first=first,
        output_tail=tail,
        output_tail_offset=tail_offset,
        last_output_ns=last_output_ns,
        last_metric=last_metric or surroundings.last_metric_of(folder),
        heartbeat_ns=_mtime_ns(folder.file(LEASE)),
        free_disk_bytes=surroundings.free_disk_bytes(folder.path),
        boot_id=process.boot_id(),
        queue=queue,
        build=building.look(folder, state.attempt) if spec.environment else None,
        ranks=ranks.look(folder, state.attempt) if spec.distributed.kind else None,
        sweep=sweeping.look(folder) if spec.kind == "sweep" else None,
        is_unbuffered=surroundings.is_unbuffered(folder),
        changed_inputs=inputs.changed(folder) if spec.inputs else (),
        registrations=tuple(registrations),
        notes=(*behind, *notes),
        unread=(*unread, *problem),
    )
    found = _with_places(found)
    if state.status in ACTIVE or state.cause == "lost":
        found = _with_processes(found, folder, sample_s)
    return _with_stacks(found) if found.is_silent else found


def _latest(
    spec: RunSpec, state: RunState, told: Sequence[Told]
) -> tuple[RunState, tuple[str, ...]]:
    """The state at the end of the story, and a note when the server knows an older one.

    With a full disk the supervisor's last words stand in its journal, while the server can't store
    that it has read them: the run would be told as Running, for as long as there is no room.
    """
    try:
        latest = replay(spec, [one.event for one in told])
    except InvalidTransition:  # the beginning of a very long story was left out
        return state, ()
    if state.is_over or not (latest.is_over or latest.status == FINALIZING):
        return state, ()
    if latest.status == state.status:
        return state, ()
    note = f"lists show it as {state.status} until the server can store what it has read"
    return latest, (note,)


def _read_output(folder: RunFolder, first: int) -> tuple[bytes, int, int, int, tuple[str, ...]]:
    """Its end, where that begins, its size, when it last grew, and what went wrong."""
    try:
        # As for a journal: a job may have planted a link or a FIFO here.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(folder.file(OUTPUT), flags)
    except FileNotFoundError:
        return b"", 0, 0, 0, ()
    except OSError as error:
        return b"", 0, 0, 0, (f"its output can't be read: {error.strerror}",)
    try:
        stat = os.fstat(fd)
        start = max(first, stat.st_size - output.TAIL_BYTES)
        tail = os.pread(fd, output.TAIL_BYTES, start)
    except OSError as error:
        return b"", 0, 0, 0, (f"its output can't be read: {error.strerror}",)
    finally:
        os.close(fd)
    return tail, start, stat.st_size, stat.st_mtime_ns if stat.st_size else 0, ()


def _first_offset(folder: RunFolder) -> int:
    try:
        return first_offset(folder.file(OUTPUT))
    except JournalError:
        return 0


def _mtime_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _with_places(found: Evidence) -> Evidence:
    """Files in the wrong folder; names near to a command that doesn't exist."""
    folder = found.folder
    if not folder and found.spec.source is not None:
        folder = found.spec.source.folder
    near: tuple[str, ...] = ()
    failed = found.last(ev.StartFailed)
    is_unknown = failed is not None and failed.event.reason == "no_command"
    if is_unknown and found.spec.command:
        search = found.spec.variables.get("PATH") or os.environ.get("PATH", "")
        near = surroundings.near_commands(found.spec.command[0], search, folder)
    declared = [item.path for item in found.spec.outputs]
    since_ns = found.state.started_ns if found.folder else 0
    is_running = found.state.status == RUNNING
    return replace(
        found,
        strays=surroundings.strays(folder, declared, since_ns),
        written=surroundings.written(folder, declared, since_ns) if is_running else (),
        near_commands=near,
    )


def _with_processes(found: Evidence, folder: RunFolder, sample_s: float) -> Evidence:
    state = found.state
    supervisor = state.supervisor if state.supervisor and state.supervisor.is_alive() else None
    known = state.main or state.supervisor
    if known is not None and known.boot_id and known.boot_id != found.boot_id:
        # Another machine's processes, or those before a reboot: none of them can be seen here.
        return found
    outputs = [
        os.path.join(found.folder, path)
        for path in ("outputs", *(item.path for item in found.spec.outputs))
        if found.folder or os.path.isabs(path)
    ]
    seen = processes.look(
        folder,
        supervisor.pid if supervisor else 0,
        state.main.pid if state.main else 0,
        outputs,
        sample_s,
    )
    return replace(
        found,
        processes=seen,
        supervisor=processes.look_at(supervisor.pid) if supervisor else None,
    )


def _with_stacks(found: Evidence) -> Evidence:
    python = [seen.pid for seen in found.processes if seen.is_python][:DUMPED_PROCESSES]
    if not python:
        return found
    program = stacks.py_spy()
    if program is None:
        hint = "what its Python threads do: py-spy isn't installed (pip install 'outlast[pyspy]')"
        return replace(found, unread=(*found.unread, hint))
    dumped, unread = [], list(found.unread)
    for pid in python:
        text, problem = stacks.dump(program, pid)
        dumped += [(pid, text)] if text else []
        unread += [problem] if problem else []
    return replace(found, python_stacks=tuple(dumped), unread=tuple(unread))
