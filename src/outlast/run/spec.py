"""What was asked for: the run's spec, written once and never changed.

`RunSpec.from_dict` is the only way in, for a request, a file or a keyword call alike: an unknown
field, a wrong type or a value out of range is Invalid, naming the field, the value and the remedy.
Units stand at the end of each name.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from outlast.errors import Invalid
from outlast.ids import check_name, check_run_id
from outlast.run import environment
from outlast.run.texts import text_of, texts_of

FORMAT = 1
# command: a job. interactive: a notebook or script that logs. session: a terminal. tunnel: a byte
# stream, to an `sshd -i`. sweep: a program of ours that submits and follows the runs below it.
KINDS = ("command", "interactive", "session", "tunnel", "sweep")
SOURCE_KINDS = ("in_place", "snapshot")
LEFTOVERS = ("wait", "terminate", "fail")
ON_LOGGED_ERROR = ("ignore", "warn", "fail")
RETRY_ON = ("lost", "failed")
# How a rank is told who it is: by torch.distributed's variables always, by Open MPI's as well, or
# by TF_CONFIG. "" = no ranks: the command is started once, as it is.
RANKS = ("", "torch", "mpi", "tensorflow")
MAX_RANKS = 256

MAX_OUTPUTS = 1_000
# 30 days, the default of ScriptRunConfig in Azure ML: a limit always exists.
MAX_RUN_DURATION_S = 30 * 24 * 3600.0


class Output(NamedTuple):
    """A file or folder that the run must produce; absolute, or relative to its working folder."""

    path: str
    check: Tuple[str, ...] = ()  # a command that must exit 0; run in the working folder at the end
    is_required: bool = True


class Source(NamedTuple):
    """Where the code is: run where it stands, or on a snapshot of the folder."""

    kind: str
    folder: str
    digest: Optional[str] = None  # of the snapshot's manifest, once it is taken
    left_out: Tuple[str, ...] = ()  # what is not in the snapshot, and why, in words


class Resources(NamedTuple):
    """What the queue must set aside before the run may start."""

    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0


class Distributed(NamedTuple):
    """Ranks: the command is started so many times at once, each time told who it is."""

    nodes: int = 1
    processes_per_node: int = 1
    kind: str = ""  # one of RANKS; with more than one process "" becomes "torch"
    parameter_servers: int = 0  # of tensorflow, beside nodes x processes_per_node workers

    @property
    def workers(self) -> int:
        """How many ranks compute."""
        return self.nodes * self.processes_per_node


class Limits(NamedTuple):
    """What ends a run, whatever it does."""

    max_run_duration_s: float = MAX_RUN_DURATION_S
    memory_bytes: int = 0  # of the whole process tree; 0 = none
    stop_grace_s: float = 10.0  # between TERM and KILL
    leftovers_s: float = 300.0  # how long descendants may outlive the main process
    idle_leftovers_s: float = 30.0  # the same for those that neither compute nor write
    storage_s: float = 3600.0  # how long committing the outputs is tried
    prepare_s: float = 3600.0  # how long its environment may take to be built


class Policy(NamedTuple):
    """What to do when something isn't plain."""

    leftovers: str = "wait"
    on_logged_error: str = "warn"
    max_attempts: int = 1
    retry_on: Tuple[str, ...] = ("lost",)
    retry_exit_codes: Tuple[int, ...] = ()
    retry_delay_s: float = 1.0  # doubled at each further attempt
    retry_delay_max_s: float = 300.0


class Terminal(NamedTuple):
    """The PTY of a session."""

    columns: int = 80
    rows: int = 24
    quota_bytes: int = 1 << 30  # of output kept; beyond it the oldest is dropped, and said
    idle_s: float = 0.0  # ended after so long without a byte, a key and a viewer; 0 = never


class RunSpec(NamedTuple):
    """A run as it was asked for."""

    id: str
    experiment: str = "default"
    name: str = ""
    kind: str = "command"
    command: Tuple[str, ...] = ()  # as shown: secrets are starred out; launch.json has the real one
    source: Optional[Source] = None
    environment: Mapping[str, Any] = {}  # see run.environment; {} = as the caller's own shell
    variables: Mapping[str, Optional[str]] = {}  # asked-for variables; None = set, but not shown
    parameters: Mapping[str, Any] = {}
    outputs: Tuple[Output, ...] = ()
    inputs: Mapping[str, Any] = {}  # datasets that the run reads; run.dataset.Input, plain
    deliveries: Mapping[str, Any] = {}  # folders that go to datastores; run.dataset.Delivery, plain
    resources: Resources = Resources()  # on a compute target: its nodes' shares
    executor: str = "local"
    target: str = ""  # the compute target on which it waits for nodes; "" = this machine as a whole
    distributed: Distributed = Distributed()
    terminal: Optional[Terminal] = None  # of a session
    limits: Limits = Limits()
    policy: Policy = Policy()
    after: Tuple[str, ...] = ()  # runs that must be Completed first
    tags: Mapping[str, Optional[str]] = {}
    properties: Mapping[str, str] = {}
    parent: Optional[str] = None
    retry_of: Optional[str] = None
    created_ns: int = 0
    created_by: str = ""
    git: Mapping[str, Any] = {}  # commit, branch, is_dirty, remote without its user part

    def to_dict(self) -> Dict[str, Any]:
        """Plain JSON values; `from_dict` reads it back to an equal spec."""
        return {"format": FORMAT, **{key: _plain(item) for key, item in self._asdict().items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunSpec:
        """Check every field. Raises Invalid at the first that is wrong; nothing is changed."""
        if not isinstance(data, Mapping):
            raise Invalid.field("spec", data, "give an object")
        values = dict(data)
        if values.pop("format", FORMAT) != FORMAT:
            raise Invalid.field("format", data["format"], f"this Outlast reads format {FORMAT}")
        _refuse_unknown("", values, cls._fields)
        return cls(**{field: _READERS[field](field, value) for field, value in values.items()})


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _refuse_unknown(where: str, values: Mapping[str, Any], known: Tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            from difflib import get_close_matches  # 3 ms that only a mistake pays

            near = get_close_matches(str(key), known, 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise Invalid.field(
                where + str(key), values[key], f"unknown field; {meant}known: {', '.join(known)}"
            )


def _number(
    minimum: float, *, whole: bool = False, maximum: float = 1e18
) -> Callable[[str, Any], Any]:
    def read(field: str, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not minimum <= value <= maximum or (whole and int(value) != value):
            kind = "a whole number" if whole else "a number"
            most = f", at most {maximum:g}" if maximum < 1e9 else ""
            raise Invalid.field(field, value, f"give {kind} of at least {minimum:g}{most}")
        return int(value) if whole else float(value)

    return read


def _choice(allowed: Tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(field: str, value: Any) -> str:
        if value not in allowed:
            raise Invalid.field(field, value, f"use one of: {', '.join(allowed)}")
        return str(value)

    return read


def _choices(allowed: Tuple[str, ...]) -> Callable[[str, Any], Tuple[str, ...]]:
    def read(field: str, value: Any) -> Tuple[str, ...]:
        return tuple(_choice(allowed)(field, item) for item in texts_of(field, value))

    return read


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid.field(field, value, "give true or false")
    return value


def _named(field: str, value: Any) -> str:
    return check_name(field, text_of(field, value))


def _maybe(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda field, value: None if value is None else read(field, value)


def _mapping(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Dict[str, Any]]:
    def read_all(field: str, value: Any) -> Dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Invalid.field(field, value, "give an object with names and values")
        return {
            check_name(f"{field} name", text_of(f"{field} name", key)): read(f"{field}.{key}", item)
            for key, item in value.items()
        }

    return read_all


def _json(field: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Invalid.field(field, value, "give a finite number, or a string")
        return value
    if isinstance(value, str):
        return text_of(field, value)
    if isinstance(value, (list, tuple)):
        return [_json(f"{field}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            text_of(f"{field} name", k): _json(f"{field}.{k}", item) for k, item in value.items()
        }
    raise Invalid.field(field, value, "give a JSON value")


def _part(kind: Any, readers: Dict[str, Callable[[str, Any], Any]]) -> Callable[[str, Any], Any]:
    def read(field: str, value: Any) -> Any:
        if isinstance(value, kind):
            value = value._asdict()
        if not isinstance(value, Mapping):
            raise Invalid.field(field, value, f"give an object with {', '.join(kind._fields)}")
        _refuse_unknown(field + ".", value, kind._fields)
        try:
            return kind(**{k: readers[k](f"{field}.{k}", item) for k, item in value.items()})
        except TypeError as error:  # a required field is missing
            raise Invalid.field(field, value, str(error).split(") ")[-1]) from None

    return read


def _outputs(field: str, value: Any) -> Tuple[Output, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise Invalid.field(field, value, "give a list of outputs")
    if len(value) > MAX_OUTPUTS:
        remedy = f"declare at most {MAX_OUTPUTS}; a folder stands for all that is in it"
        raise Invalid.field(field, len(value), remedy)
    outputs: List[Output] = []
    for index, item in enumerate(value):
        entry = {"path": item} if isinstance(item, str) else item
        output = _OUTPUT(f"{field}[{index}]", entry)
        if not output.path.strip():
            raise Invalid.field(f"{field}[{index}].path", output.path, "give a path")
        outputs.append(output)
    return tuple(outputs)


def _distributed(field: str, value: Any) -> Distributed:
    asked: Distributed = _DISTRIBUTED(field, value)
    if asked.parameter_servers and asked.kind != "tensorflow":
        remedy = "only kind tensorflow has them"
        raise Invalid.field(f"{field}.parameter_servers", asked.parameter_servers, remedy)
    ranks = asked.workers + asked.parameter_servers
    if ranks > MAX_RANKS:
        raise Invalid.field(field, ranks, f"start at most {MAX_RANKS} processes")
    return asked._replace(kind=asked.kind or "torch") if ranks > 1 else asked


_DISTRIBUTED = _part(
    Distributed,
    {
        "nodes": _number(1, whole=True, maximum=MAX_RANKS),
        "processes_per_node": _number(1, whole=True, maximum=MAX_RANKS),
        "kind": _choice(RANKS),
        "parameter_servers": _number(0, whole=True, maximum=MAX_RANKS),
    },
)


def _datasets(field: str, value: Any) -> Dict[str, Any]:
    if value == {}:
        return {}
    from outlast.run import dataset  # what few runs have, and a supervisor's start needn't pay

    read = dataset.inputs if field == "inputs" else dataset.deliveries
    return {name: given.to_dict() for name, given in read(field, value).items()}


_OUTPUT = _part(Output, {"path": text_of, "check": texts_of, "is_required": _flag})
_RUN_IDS = lambda field, value: tuple(check_run_id(item) for item in texts_of(field, value))  # noqa: E731

_READERS: Dict[str, Callable[[str, Any], Any]] = {
    "id": lambda field, value: check_run_id(value),
    "experiment": _named,
    "name": lambda field, value: "" if value == "" else _named(field, value),
    "kind": _choice(KINDS),
    "command": texts_of,
    "source": _maybe(
        _part(
            Source,
            {
                "kind": _choice(SOURCE_KINDS),
                "folder": text_of,
                "digest": _maybe(text_of),
                "left_out": texts_of,
            },
        )
    ),
    "environment": environment.checked,
    "variables": _mapping(_maybe(text_of)),
    "parameters": _mapping(_json),
    "outputs": _outputs,
    "inputs": _datasets,
    "deliveries": _datasets,
    "resources": _part(
        Resources,
        {
            "cpus": _number(0),
            "memory_bytes": _number(0, whole=True),
            "gpus": _number(0, whole=True),
        },
    ),
    "executor": _named,
    "target": lambda field, value: "" if value == "" else _named(field, value),
    "distributed": _distributed,
    "terminal": _maybe(
        _part(
            Terminal,
            {
                "columns": _number(1, whole=True, maximum=1000),
                "rows": _number(1, whole=True, maximum=1000),
                "quota_bytes": _number(1 << 20, whole=True),
                "idle_s": _number(0),
            },
        )
    ),
    "limits": _part(
        Limits,
        {
            "max_run_duration_s": _number(0.001),
            "memory_bytes": _number(0, whole=True),
            "stop_grace_s": _number(0),
            "leftovers_s": _number(0),
            "idle_leftovers_s": _number(0),
            "storage_s": _number(0),
            "prepare_s": _number(0.001),
        },
    ),
    "policy": _part(
        Policy,
        {
            "leftovers": _choice(LEFTOVERS),
            "on_logged_error": _choice(ON_LOGGED_ERROR),
            "max_attempts": _number(1, whole=True, maximum=1000),
            "retry_on": _choices(RETRY_ON),
            "retry_exit_codes": lambda field, value: tuple(
                _number(0, whole=True, maximum=255)(field, item) for item in value
            ),
            "retry_delay_s": _number(0),
            "retry_delay_max_s": _number(0),
        },
    ),
    "after": _RUN_IDS,
    "tags": _mapping(_maybe(text_of)),
    "properties": _mapping(text_of),
    "parent": _maybe(lambda field, value: check_run_id(value)),
    "retry_of": _maybe(lambda field, value: check_run_id(value)),
    "created_ns": _number(0, whole=True, maximum=2**63 - 1),
    "created_by": text_of,
    "git": _mapping(_json),
}
