"""What can happen to a run. Each event is a record in one of two journals of its folder.

`events` is written by the run's supervisor, on the node; `decisions` by the server. A decision says
in `seen` up to which offset of `events` the server had read, so that both merge into one order
that any reader can find again. Readers ignore kinds that they don't know; no kind ever changes its
meaning.
Times are wall-clock nanoseconds since 1970; `attempt` counts from 1.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

# --- decisions: by the server ---


class Created(NamedTuple):
    """The run exists; its spec is written."""

    t_ns: int
    kind: str = "command"


class Queued(NamedTuple):
    """It waits for slots, or for other runs."""

    t_ns: int
    attempt: int = 1


class Dispatched(NamedTuple):
    """Its slots are set aside; its working folder is being made."""

    t_ns: int
    attempt: int
    executor: str
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: Tuple[int, ...] = ()


class Launched(NamedTuple):
    """The executor has started the supervisor."""

    t_ns: int
    attempt: int
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""


class LaunchFailed(NamedTuple):
    """The executor could not start the supervisor."""

    t_ns: int
    attempt: int
    message: str


class CancelRequested(NamedTuple):
    """Somebody asked for the run to be stopped."""

    t_ns: int
    by: str = ""
    reason: str = ""


class Silent(NamedTuple):
    """The supervisor exists, but its heartbeat stopped."""

    t_ns: int
    attempt: int
    last_heartbeat_ns: int
    deadline_ns: int


class Responding(NamedTuple):
    """The heartbeat is back."""

    t_ns: int
    attempt: int


class Lost(NamedTuple):
    """Proof that nobody can tell any more how the run ended."""

    t_ns: int
    attempt: int
    evidence: str  # process_gone | rebooted | folder_gone | silent_too_long
    message: str


class UpstreamFailed(NamedTuple):
    """A run that had to be Completed first ended otherwise."""

    t_ns: int
    upstream: str
    status: str


class Committed(NamedTuple):
    """Every output is stored and its manifest is in the database."""

    t_ns: int
    attempt: int
    manifest: str
    files: int
    size_bytes: int


class CommitFailed(NamedTuple):
    """Storing the outputs failed; it is tried again at `retry_ns`."""

    t_ns: int
    attempt: int
    reason: str  # disk_full | unavailable | changed | ...
    message: str
    retry_ns: int
    deadline_ns: int


class StorageGaveUp(NamedTuple):
    """The outputs could not be stored in time; they are still on the node."""

    t_ns: int
    attempt: int
    message: str


class Retrying(NamedTuple):
    """Another attempt follows, not before `not_before_ns`."""

    t_ns: int
    attempt: int  # the next one
    not_before_ns: int
    reason: str


# --- events: by the supervisor ---


class Supervised(NamedTuple):
    """A supervisor has taken charge."""

    t_ns: int
    attempt: int
    mode: str  # command | watch | adopt | resume
    pid: int
    start_ticks: int
    boot_id: str
    host: str
    version: str


class Preparing(NamedTuple):
    """The environment of the command is being built, by this process."""

    t_ns: int
    attempt: int
    pid: int
    start_ticks: int
    boot_id: str
    what: str  # as "environment digits"
    deadline_ns: int


class Prepared(NamedTuple):
    """The environment is there; the command comes next."""

    t_ns: int
    attempt: int
    key: str
    prefix: str


class Started(NamedTuple):
    """The main process runs."""

    t_ns: int
    attempt: int
    pid: int
    start_ticks: int
    boot_id: str
    folder: str
    output_offset: int


class StartFailed(NamedTuple):
    """The command could not be started at all."""

    t_ns: int
    attempt: int
    reason: str  # no_command | not_executable | no_folder | no_processes | environment | ...
    message: str

    @property
    def short(self) -> str:
        """The message without the whole search path, which only this event keeps."""
        before, mark, _ = self.message.partition(" on the PATH: ")
        return before + mark.rstrip(": ")


class Exited(NamedTuple):
    """The main process ended; written and synced before anything else is done."""

    t_ns: int
    attempt: int
    code: Optional[int]  # None when a signal ended it, or when nobody could learn it
    signal: Optional[int] = None
    has_core: bool = False
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    output_offset: int = 0


class Leftovers(NamedTuple):
    """The main process is over, these processes of the run are not."""

    t_ns: int
    attempt: int
    processes: Tuple[Mapping[str, Any], ...]  # pid, command, cpu_s, io_bytes, is_busy, writes
    deadline_ns: int
    idle_deadline_ns: int  # 0 while any of them is busy


class Stopping(NamedTuple):
    """The supervisor signals the run's processes."""

    t_ns: int
    attempt: int
    # cancel | max_run_duration_s | memory_bytes | idle_s | prepare_s | leftovers | idle_leftovers
    # | environment | shutdown
    reason: str
    signal: str  # HUP (terminals only) | TERM | KILL
    processes: Tuple[Mapping[str, Any], ...]  # pid, command
    next_ns: int  # when the next rung follows; 0 = none


class LimitReached(NamedTuple):
    """A limit of the spec ended the run."""

    t_ns: int
    attempt: int
    limit: str
    allowed: float
    observed: float


class TreeEnded(NamedTuple):
    """Not one process of the run is left."""

    t_ns: int
    attempt: int


class OutputProblem(NamedTuple):
    """An output isn't what it should be."""

    t_ns: int
    attempt: int
    path: str
    problem: str  # missing | foreign | truncated | check_failed | unreadable | too_many
    message: str
    is_fatal: bool


class Warned(NamedTuple):
    """Something that the user should know, though it doesn't change the outcome."""

    t_ns: int
    attempt: int
    code: str
    message: str
    facts: Mapping[str, Any] = {}


class OwnerEnded(NamedTuple):
    """The owner of an interactive run finished it, or died."""

    t_ns: int
    attempt: int
    how: str  # complete | fail | cancel | exit | died
    message: str = ""
    facts: Mapping[str, Any] = {}


class Orphaned(NamedTuple):
    """The supervisor was killed; these processes of the run go on under a new one."""

    t_ns: int
    attempt: int
    processes: Tuple[Mapping[str, Any], ...]  # pid, command


class Ended(NamedTuple):
    """The supervisor's last word: the outcome with its evidence. Also in end.json."""

    t_ns: int
    attempt: int
    outcome: str  # completed | failed | canceled
    cause: str  # "" when completed; see run.verdict
    message: str
    facts: Mapping[str, Any] = {}
    manifest: str = ""  # digest; "" when there is none


Event = Union[
    Created, Queued, Dispatched, Launched, LaunchFailed, CancelRequested, Silent, Responding, Lost,
    UpstreamFailed, Committed, CommitFailed, StorageGaveUp, Retrying, Supervised, Preparing,
    Prepared, Started, StartFailed, Exited, Leftovers, Stopping, LimitReached, TreeEnded,
    OutputProblem, Warned, OwnerEnded, Orphaned, Ended,
]  # fmt: skip

DECISIONS: Tuple[Type[Any], ...] = (
    Created, Queued, Dispatched, Launched, LaunchFailed, CancelRequested, Silent, Responding, Lost,
    UpstreamFailed, Committed, CommitFailed, StorageGaveUp, Retrying,
)  # fmt: skip
NODE_EVENTS: Tuple[Type[Any], ...] = (
    Supervised, Preparing, Prepared, Started, StartFailed, Exited, Leftovers, Stopping,
    LimitReached, TreeEnded, OutputProblem, Warned, OwnerEnded, Orphaned, Ended,
)  # fmt: skip


def _name(kind: Type[Any]) -> str:
    letters: List[str] = []
    for letter in kind.__name__:
        letters.append("_" + letter.lower() if letter.isupper() and letters else letter.lower())
    return "".join(letters)


KINDS: Dict[str, Type[Any]] = {_name(kind): kind for kind in DECISIONS + NODE_EVENTS}
_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(event: Event) -> str:
    """The name that stands in the record's `k`, as "cancel_requested"."""
    return _NAMES[type(event)]


def to_record(event: Event) -> Dict[str, Any]:
    """The record that a journal keeps of this event."""
    record: Dict[str, Any] = {"k": kind_of(event)}
    record.update(event._asdict())
    return record


def from_record(record: Mapping[str, Any]) -> Optional[Event]:
    """The event of a record; None for a kind that this version doesn't know.

    Fields that this version doesn't know are left out, so that a newer writer can add some.
    """
    kind = KINDS.get(str(record.get("k")))
    if kind is None:
        return None
    fields = {name: _frozen(record[name]) for name in kind._fields if name in record}
    event: Event = kind(**fields)
    return event


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
