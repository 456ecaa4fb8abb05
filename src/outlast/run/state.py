"""The state of a run, computed by one pure function from its events.

`step(state, event)` returns the next state and instructions for whoever drives the run; nobody
assigns a status. No I/O and no clock: time comes in with the event. An event that can't follow
raises InvalidTransition, which tells the story that led there.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

from outlast.errors import OutlastError
from outlast.process import Identity
from outlast.run import events as ev
from outlast.run.spec import Policy, RunSpec

NOT_STARTED = "NotStarted"
QUEUED = "Queued"
PREPARING = "Preparing"
PROVISIONING = "Provisioning"  # for executors that bring up nodes
STARTING = "Starting"
RUNNING = "Running"
FINALIZING = "Finalizing"
CANCEL_REQUESTED = "CancelRequested"
COMPLETED = "Completed"
FAILED = "Failed"
CANCELED = "Canceled"
NOT_RESPONDING = "NotResponding"

STATUSES = (
    NOT_STARTED, QUEUED, PREPARING, PROVISIONING, STARTING, RUNNING, FINALIZING,
    CANCEL_REQUESTED, COMPLETED, FAILED, CANCELED, NOT_RESPONDING,
)  # fmt: skip
TERMINAL = frozenset((COMPLETED, FAILED, CANCELED))
WAITING = frozenset((NOT_STARTED, QUEUED))
ACTIVE = frozenset(STATUSES) - TERMINAL - WAITING  # holds slots, has (or gets) a supervisor

_KILL = 9

# What a Finalizing run waits for.
LEFTOVERS = "leftovers"  # processes that outlived the main one
OUTPUTS = "outputs"  # being read and hashed on the node
STORAGE = "storage"  # being stored by the server
# What a Preparing run that has its supervisor waits for.
ENVIRONMENT = "environment"


class RunState(NamedTuple):
    """Everything that follows from the events so far. Plain values: kept as JSON in the index."""

    status: str = NOT_STARTED
    since_ns: int = 0
    attempt: int = 1
    kind: str = "command"
    stage: str = ""  # Finalizing: leftovers | outputs | storage; Preparing: environment
    outcome: str = ""  # completed | failed | canceled, once the supervisor has said its last word
    cause: str = ""
    message: str = ""
    facts: Mapping[str, Any] = {}
    warnings: Tuple[Tuple[str, str], ...] = ()  # (code, message)
    problems: Tuple[Tuple[str, str, str], ...] = ()  # (path, problem, message)
    created_ns: int = 0
    queued_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    supervisor: Optional[Identity] = None
    main: Optional[Identity] = None
    executor: str = ""
    slots: Mapping[str, Any] = {}  # cpus, memory_bytes, gpus (device numbers)
    exit_code: Optional[int] = None
    exit_signal: Optional[int] = None
    leftovers: Tuple[Mapping[str, Any], ...] = ()
    deadline_ns: int = 0  # by when the present wait ends, 0 = no such limit
    retry_ns: int = 0  # when something is tried again
    before: str = ""  # the status to go back to from NotResponding
    cancel_by: str = ""
    cancel_ns: int = 0
    stopping: str = ""  # why the supervisor signals the run, once it does
    manifest: str = ""
    is_committed: bool = False
    is_orphaned: bool = False
    max_attempts: int = 1
    retry_on: Tuple[str, ...] = ()
    retry_exit_codes: Tuple[int, ...] = ()
    retry_delay_s: float = 1.0
    retry_delay_max_s: float = 300.0
    storage_s: float = 3600.0

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values; `from_dict` reads it back to an equal state."""
        return {field: _plain(value) for field, value in self._asdict().items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunState:
        values = {field: _frozen(data[field]) for field in cls._fields if field in data}
        for field in ("supervisor", "main"):
            if values.get(field):
                values[field] = Identity(*values[field])
        return cls(**values)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


# --- instructions ---


class Enqueue(NamedTuple):
    """Put the run into the queue, to start not before this time."""

    attempt: int
    not_before_ns: int = 0


class Stop(NamedTuple):
    """Tell the supervisor to end the run."""

    reason: str


class Commit(NamedTuple):
    """Store the outputs that the manifest in the folder lists."""

    manifest: str


class Retry(NamedTuple):
    """Decide `Retrying` for this attempt."""

    attempt: int
    not_before_ns: int
    reason: str


class Release(NamedTuple):
    """Give the slots back."""


class Finish(NamedTuple):
    """The run is over: wake those who wait for it, remove its private files."""

    status: str


Instruction = Union[Enqueue, Stop, Commit, Retry, Release, Finish]
Step = Tuple[RunState, Tuple[Instruction, ...]]


class InvalidTransition(OutlastError):
    """An event came that can't follow the run's state."""

    def __init__(self, state: RunState, event: ev.Event) -> None:
        super().__init__(
            f"{ev.kind_of(event)} can't follow {state.status}"
            f" (attempt {state.attempt}, since {state.since_ns}, stage {state.stage or '-'})"
        )
        self.state = state
        self.event = event


def initial(spec: RunSpec) -> RunState:
    """The state of a run of which nothing is known but its spec."""
    policy: Policy = spec.policy
    return RunState(
        kind=spec.kind,
        created_ns=spec.created_ns,
        since_ns=spec.created_ns,
        max_attempts=policy.max_attempts,
        retry_on=policy.retry_on,
        retry_exit_codes=policy.retry_exit_codes,
        retry_delay_s=policy.retry_delay_s,
        retry_delay_max_s=policy.retry_delay_max_s,
        storage_s=spec.limits.storage_s,
    )


def step(state: RunState, event: ev.Event) -> Step:
    """The state after `event`, and what to do now.

    Raises InvalidTransition; the state before it then still holds.
    """
    attempt = getattr(event, "attempt", state.attempt)
    if attempt < state.attempt:
        return state, ()  # a word from an attempt that is over
    return _EDGES[type(event)](state, event)


def replay(spec: RunSpec, story: List[ev.Event]) -> RunState:
    """The state after all of these events; instructions are left out."""
    state = initial(spec)
    for event in story:
        state, _ = step(state, event)
    return state


# --- edges: one function for each event ---


def _moved(state: RunState, status: str, t_ns: int, **changes: Any) -> RunState:
    """To `status`, unless a cancel is under way, which shows until the end."""
    if state.status == CANCEL_REQUESTED and status not in TERMINAL:
        status = CANCEL_REQUESTED
    since_ns = state.since_ns if status == state.status else t_ns
    return state._replace(status=status, since_ns=since_ns, **changes)


def _created(state: RunState, event: ev.Created) -> Step:
    _allow(state, event, NOT_STARTED)
    return state._replace(created_ns=event.t_ns, since_ns=event.t_ns, kind=event.kind), ()


def _queued(state: RunState, event: ev.Queued) -> Step:
    _allow(state, event, NOT_STARTED, QUEUED)
    queued = _moved(state, QUEUED, event.t_ns, queued_ns=event.t_ns, attempt=event.attempt)
    return queued, (Enqueue(event.attempt, state.retry_ns),)


def _dispatched(state: RunState, event: ev.Dispatched) -> Step:
    _allow(state, event, QUEUED)
    slots = {"cpus": event.cpus, "memory_bytes": event.memory_bytes, "gpus": list(event.gpus)}
    return _moved(
        state, PREPARING, event.t_ns, executor=event.executor, slots=slots, retry_ns=0
    ), ()


def _launched(state: RunState, event: ev.Launched) -> Step:
    identity = Identity(event.pid, event.start_ticks, event.boot_id) if event.pid else None
    if state.supervisor is not None:  # its own word was read first
        return state, ()
    _allow(state, event, PREPARING, CANCEL_REQUESTED)
    return _moved(state, STARTING, event.t_ns, supervisor=identity), ()


def _launch_failed(state: RunState, event: ev.LaunchFailed) -> Step:
    if state.cancel_ns:  # it was canceled while it was being prepared: nothing ever ran
        return _over(state, event.t_ns, "canceled", "canceled", "", {})
    return _over(state, event.t_ns, "failed", "launch_failed", event.message, {})


def _cancel_requested(state: RunState, event: ev.CancelRequested) -> Step:
    if state.is_over or state.cancel_ns:
        return state, ()
    asked = state._replace(cancel_by=event.by, cancel_ns=event.t_ns)
    is_closed = state.kind in ("session", "tunnel")
    verb = "closed" if is_closed else "canceled"
    by = f"{verb} by {event.by}" if event.by else verb
    message = f"{by}: {event.reason}" if event.reason not in ("", verb) else by
    if state.status in WAITING:
        return _over(asked, event.t_ns, "canceled", "canceled", f"{message}, before it started", {})
    if state.outcome == "completed":
        return state, ()  # its work is done and only being stored: nothing is left to stop
    asked = asked._replace(status=CANCEL_REQUESTED, since_ns=event.t_ns, message=message, before="")
    return asked, (Stop("cancel"),)


def _silent(state: RunState, event: ev.Silent) -> Step:
    if state.is_over or state.status == NOT_RESPONDING:
        return state, ()
    _allow(state, event, *ACTIVE)
    silent = state._replace(
        status=NOT_RESPONDING,
        since_ns=event.t_ns,
        before=state.status,
        deadline_ns=event.deadline_ns,
        facts={**state.facts, "last_heartbeat_ns": event.last_heartbeat_ns},
    )
    return silent, ()


def _responding(state: RunState, event: ev.Responding) -> Step:
    if state.status != NOT_RESPONDING:
        return state, ()
    return _awake(state, event.t_ns), ()


def _awake(state: RunState, t_ns: int) -> RunState:
    """Any word of the supervisor ends NotResponding."""
    if state.status != NOT_RESPONDING:
        return state
    return state._replace(status=state.before, since_ns=t_ns, before="", deadline_ns=0)


def _lost(state: RunState, event: ev.Lost) -> Step:
    if state.is_over or state.outcome:
        return state, ()  # the end record was there first, and it wins
    facts = {"evidence": event.evidence}
    return _over(state, event.t_ns, "failed", "lost", event.message, facts)


def _upstream_failed(state: RunState, event: ev.UpstreamFailed) -> Step:
    _allow(state, event, NOT_STARTED, QUEUED)
    message = f"run {event.upstream} had to be Completed first, but is {event.status}"
    facts = {"upstream": event.upstream, "status": event.status}
    return _over(state, event.t_ns, "canceled", "upstream_failed", message, facts)


def _retrying(state: RunState, event: ev.Retrying) -> Step:
    if event.attempt != state.attempt + 1:
        raise InvalidTransition(state, event)
    # All that belongs to the attempt is forgotten; what belongs to the run stays.
    fresh = RunState(
        status=NOT_STARTED,
        since_ns=event.t_ns,
        attempt=event.attempt,
        kind=state.kind,
        warnings=state.warnings,
        created_ns=state.created_ns,
        started_ns=state.started_ns,
        retry_ns=event.not_before_ns,
        max_attempts=state.max_attempts,
        retry_on=state.retry_on,
        retry_exit_codes=state.retry_exit_codes,
        retry_delay_s=state.retry_delay_s,
        retry_delay_max_s=state.retry_delay_max_s,
        storage_s=state.storage_s,
        message=event.reason,
    )
    return fresh, ()


def _committed(state: RunState, event: ev.Committed) -> Step:
    stored = state._replace(is_committed=True, manifest=event.manifest, deadline_ns=0, retry_ns=0)
    if state.is_over:
        return stored, ()
    if state.outcome != "completed":
        raise InvalidTransition(state, event)
    done = stored._replace(
        status=COMPLETED, since_ns=event.t_ns, ended_ns=event.t_ns, stage="", message=""
    )
    return done, (Finish(COMPLETED),)


def _commit_failed(state: RunState, event: ev.CommitFailed) -> Step:
    if state.is_over:
        return _with_warning(
            state, "storage", f"its outputs are not stored yet: {event.message}"
        ), ()
    waiting = state._replace(
        stage=STORAGE,
        message=event.message,
        retry_ns=event.retry_ns,
        deadline_ns=event.deadline_ns,
        facts={**state.facts, "storage_reason": event.reason},
    )
    return waiting, ()


def _storage_gave_up(state: RunState, event: ev.StorageGaveUp) -> Step:
    if state.is_over:
        return _with_warning(state, "storage", event.message), ()
    return _over(
        state._replace(outcome=""), event.t_ns, "failed", "storage", event.message, state.facts
    )


def _supervised(state: RunState, event: ev.Supervised) -> Step:
    state = _awake(state, event.t_ns)
    identity = Identity(event.pid, event.start_ticks, event.boot_id)
    if state.is_over:
        return state._replace(supervisor=identity), ()
    status = {"watch": RUNNING, "command": STARTING}.get(event.mode, state.status)
    started_ns = state.started_ns
    if event.mode == "watch" and not started_ns:
        started_ns = event.t_ns
    return _moved(state, status, event.t_ns, supervisor=identity, started_ns=started_ns), ()


def _preparing(state: RunState, event: ev.Preparing) -> Step:
    state = _awake(state, event.t_ns)
    if state.is_over:
        return state, ()
    changes = {"stage": ENVIRONMENT, "deadline_ns": event.deadline_ns}
    if not state.cancel_ns:
        changes["message"] = f"{event.what} is being built"
    return _moved(state, PREPARING, event.t_ns, **changes), ()


def _prepared(state: RunState, event: ev.Prepared) -> Step:
    state = _awake(state, event.t_ns)._replace(stage="", deadline_ns=0)
    if state.is_over:
        return state, ()
    message = state.message if state.cancel_ns else ""
    return _moved(state, STARTING, event.t_ns, message=message), ()


def _started(state: RunState, event: ev.Started) -> Step:
    state = _awake(state, event.t_ns)
    _allow(state, event, PREPARING, STARTING, RUNNING, CANCEL_REQUESTED)
    main = Identity(event.pid, event.start_ticks, event.boot_id)
    return _moved(state, RUNNING, event.t_ns, main=main, started_ns=event.t_ns), ()


def _start_failed(state: RunState, event: ev.StartFailed) -> Step:
    return _awake(state, event.t_ns)._replace(message=event.short), ()


def _exited(state: RunState, event: ev.Exited) -> Step:
    state = _awake(state, event.t_ns)
    over = state._replace(exit_code=event.code, exit_signal=event.signal, stage=LEFTOVERS)
    return (over if state.is_over else _moved(over, FINALIZING, event.t_ns)), ()


def _leftovers(state: RunState, event: ev.Leftovers) -> Step:
    deadline_ns = min(event.deadline_ns, event.idle_deadline_ns or event.deadline_ns)
    state = _awake(state, event.t_ns)._replace(leftovers=event.processes, deadline_ns=deadline_ns)
    if state.is_over or not event.processes:
        return state, ()
    names = ", ".join(f"{p.get('pid')} ({p.get('command', '')[:60]})" for p in event.processes[:3])
    text = f"processes went on in the background after the command had ended: {names}"
    if not any(code == "leftovers" for code, _ in state.warnings):
        state = _with_warning(state, "leftovers", text)
    return state, ()


def _stopping(state: RunState, event: ev.Stopping) -> Step:
    state = _awake(state, event.t_ns)._replace(stopping=event.reason, deadline_ns=event.next_ns)
    if event.reason in ("leftovers", "idle_leftovers"):
        state = _with_warning(
            state,
            "leftovers_ended",
            f"{len(event.processes)} leftover processes were sent SIG{event.signal}",
        )
    return state, ()


def _limit_reached(state: RunState, event: ev.LimitReached) -> Step:
    facts = {"limit": event.limit, "allowed": event.allowed, "observed": event.observed}
    return _awake(state, event.t_ns)._replace(facts={**state.facts, **facts}), ()


def _tree_ended(state: RunState, event: ev.TreeEnded) -> Step:
    state = _awake(state, event.t_ns)._replace(leftovers=(), stage=OUTPUTS, deadline_ns=0)
    return (state if state.is_over else _moved(state, FINALIZING, event.t_ns)), ()


def _output_problem(state: RunState, event: ev.OutputProblem) -> Step:
    state = _awake(state, event.t_ns)
    problem = (event.path, event.problem, event.message)
    if event.is_fatal:
        return state._replace(problems=(*state.problems, problem)), ()
    return _with_warning(state, f"output_{event.problem}", f"{event.path}: {event.message}"), ()


def _warned(state: RunState, event: ev.Warned) -> Step:
    return _with_warning(_awake(state, event.t_ns), event.code, event.message), ()


def _owner_ended(state: RunState, event: ev.OwnerEnded) -> Step:
    state = _awake(state, event.t_ns)
    if state.is_over or state.kind != "interactive":
        return state, ()
    return _moved(state, FINALIZING, event.t_ns, stage=OUTPUTS), ()


def _orphaned(state: RunState, event: ev.Orphaned) -> Step:
    text = "its supervisor was killed; its processes went on under a new one"
    return _with_warning(_awake(state, event.t_ns)._replace(is_orphaned=True), "orphaned", text), ()


def _ended(state: RunState, event: ev.Ended) -> Step:
    state = _awake(state, event.t_ns)
    if state.is_over and state.cause != "lost":
        return state, ()
    if state.is_over:  # the record wins over a verdict of "lost"
        state = _with_warning(
            state._replace(status=FINALIZING),
            "corrected",
            "it had been taken for lost; its end record was found",
        )
    outcome, cause, message = event.outcome, event.cause, event.message
    if state.cancel_ns and cause == "signal" and state.exit_signal == _KILL:
        # By a server that was told to use force and couldn't reach the supervisor, which so knew
        # nothing of it.
        cause = "closed" if state.kind == "session" else "canceled"
        outcome, message = "canceled", ""
    return _over(state, event.t_ns, outcome, cause, message, event.facts, event.manifest)


def _over(
    state: RunState, t_ns: int, outcome: str, cause: str, message: str,
    facts: Mapping[str, Any], manifest: str = "",
) -> Step:  # fmt: skip
    """The attempt is over: store and complete it, try again, or end."""
    held = (Release(),) if state.status not in WAITING else ()
    commit = (Commit(manifest),) if manifest else ()
    facts = {**state.facts, **facts}
    state = state._replace(
        outcome=outcome, facts=facts, manifest=manifest, deadline_ns=0, leftovers=(), slots={}
    )
    if outcome == "completed":
        if not manifest:  # nothing to store
            done = state._replace(
                status=COMPLETED,
                since_ns=t_ns,
                ended_ns=t_ns,
                cause="",
                message="",
                stage="",
                is_committed=True,
            )
            return done, (*held, Finish(COMPLETED))
        deadline_ns = t_ns + int(state.storage_s * 1e9)
        storing = _moved(
            state, FINALIZING, t_ns, stage=STORAGE, deadline_ns=deadline_ns, cause="", message=""
        )
        return storing, (*held, *commit)
    reason = message or cause
    if outcome == "failed" and _may_retry(state, cause) and not state.cancel_ns:
        # The delay doubles with each attempt.
        delay_s = min(state.retry_delay_s * 2 ** (state.attempt - 1), state.retry_delay_max_s)
        retry = Retry(state.attempt + 1, t_ns + int(delay_s * 1e9), reason)
        return state._replace(cause=cause, message=message), (*held, retry)
    status = CANCELED if outcome == "canceled" else FAILED
    if outcome == "canceled" and state.cancel_ns and message in ("", "canceled", "closed"):
        message = state.message or message
    over = state._replace(
        status=status,
        since_ns=t_ns,
        ended_ns=t_ns,
        cause=cause,
        message=message,
        stage="",
        retry_ns=0,
    )
    return over, (*held, *commit, Finish(status))


def _may_retry(state: RunState, cause: str) -> bool:
    if state.attempt >= state.max_attempts or state.kind not in ("command", "sweep"):
        return False
    if state.kind == "sweep" and cause in ("signal", "memory"):
        return True  # its program was killed: the next one goes on where its journal ends
    if cause in ("lost", "launch_failed"):
        return "lost" in state.retry_on
    is_listed = state.exit_code is not None and state.exit_code in state.retry_exit_codes
    return is_listed or "failed" in state.retry_on


def _with_warning(state: RunState, code: str, message: str) -> RunState:
    warning = (code, message)
    return (
        state if warning in state.warnings else state._replace(warnings=(*state.warnings, warning))
    )


def _allow(state: RunState, event: ev.Event, *statuses: str) -> None:
    if state.status not in statuses:
        raise InvalidTransition(state, event)


_EDGES: Dict[Type[Any], Callable[[RunState, Any], Step]] = {
    ev.Created: _created,
    ev.Queued: _queued,
    ev.Dispatched: _dispatched,
    ev.Launched: _launched,
    ev.LaunchFailed: _launch_failed,
    ev.CancelRequested: _cancel_requested,
    ev.Silent: _silent,
    ev.Responding: _responding,
    ev.Lost: _lost,
    ev.UpstreamFailed: _upstream_failed,
    ev.Committed: _committed,
    ev.CommitFailed: _commit_failed,
    ev.StorageGaveUp: _storage_gave_up,
    ev.Retrying: _retrying,
    ev.Supervised: _supervised,
    ev.Preparing: _preparing,
    ev.Prepared: _prepared,
    ev.Started: _started,
    ev.StartFailed: _start_failed,
    ev.Exited: _exited,
    ev.Leftovers: _leftovers,
    ev.Stopping: _stopping,
    ev.LimitReached: _limit_reached,
    ev.TreeEnded: _tree_ended,
    ev.OutputProblem: _output_problem,
    ev.Warned: _warned,
    ev.OwnerEnded: _owner_ended,
    ev.Orphaned: _orphaned,
    ev.Ended: _ended,
}
