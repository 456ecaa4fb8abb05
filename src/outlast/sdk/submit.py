"""Ask for a run: from a command and keywords to a spec, and to the server.

The real command and environment travel apart from the spec, which is kept and shown: secrets are
starred out in it before it leaves this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.errors import Conflict, Invalid, NotFound
from outlast.ids import new_run_id
from outlast.run import redact
from outlast.run.spec import Output
from outlast.sdk import caller
from outlast.sdk.environment import Asked, asked_for, shown
from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace
from outlast.transport.connection import Connection

__all__ = ["Output", "submit"]

GIT_TIMEOUT_S = 5.0


def submit(
    command: str | Sequence[Any], *, experiment: str = "default", name: str = "",
    folder: str | Path = ".", in_place: bool = False,
    outputs: Sequence[str | Output | Mapping[str, Any]] = (),
    inputs: Mapping[str, Any] | None = None, deliveries: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None, parameters: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None, target: str = "",
    distributed: Mapping[str, Any] | None = None, limits: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None, after: Sequence[str | RunHandle] = (),
    tags: Mapping[str, str | None] | None = None, properties: Mapping[str, str] | None = None,
    environment: Asked = None, parent: str | None = None, id: str | None = None,
    workspace: Workspace | None = None,
) -> RunHandle:  # fmt: skip
    """Queue a run and return at once; the run goes on whatever becomes of this process.

    `command` is a list of arguments, a string that is split as a shell splits words, or the path of
    a Python script ("train.py"), which runs with this interpreter or the environment's. The run
    works on a snapshot of `folder`, or with `in_place` in the folder itself. `outputs` are files or
    folders that it must produce, beside `outputs/`, which is always collected. `inputs` are
    datasets (or paths, globs, URLs) by name, `deliveries` folders that go to a datastore at a good
    end (Datastore.delivery): the command's words name them as `${{inputs.NAME}}` and
    `${{outputs.NAME}}`. What another run puts out is an input too (`run.as_input("outputs/x")`);
    while that one isn't over, it is among `after` by itself. `resources` (cpus, memory_bytes,
    gpus), `limits`, `policy` and `distributed` (nodes, processes_per_node, kind: the command is
    started once for each rank) hold the fields of run.spec. `target` is the compute target on which
    it waits for nodes (default: this machine as a whole). `environment` (default: this process's
    own) is an Environment, a file (requirements.txt, environment.yml), a venv, or the name of a
    saved one; it is built before the command starts. `parent` (default: the run that this process
    belongs to) is the id of the run that this one is a part of.

    `id` (default: a fresh one) names the run; a submission whose answer was lost is repeated under
    the same id, so it is queued once.
    Raises Invalid (names the field; nothing was queued), Conflict when there is a run of this `id`,
    or Unreachable (a run of this `id` may have been queued).
    """
    workspace = workspace or Workspace()
    folder = checked_folder(folder, workspace)
    arguments = words_of(command, "python" if environment else sys.executable)
    wanted = asked_for(environment, workspace)
    id = id or new_run_id()
    data = with_data(id, inputs or {}, deliveries or {})
    spec: dict[str, Any] = {
        "id": id,
        "experiment": experiment,
        "name": name,
        "command": redact.command(arguments),
        "source": {"kind": "in_place" if in_place else "snapshot", "folder": str(folder)},
        "variables": redact.variables(variables or {}),
        "parameters": dict(parameters or {}),
        "outputs": [*(declared(output) for output in outputs), *data.pop("outputs")],
        **data,
        "resources": dict(resources or {}),
        "target": target,
        "distributed": dict(distributed or {}),
        "limits": dict(limits or {}),
        "policy": dict(policy or {}),
        "after": _after(after, data.get("inputs", {}), workspace.connection),
        "tags": dict(tags or {}),
        "properties": dict(properties or {}),
        "environment": shown(wanted),
        "created_by": user(),
        "git": git_facts(folder),
    }
    if parent := parent or os.environ.get("OUTLAST_RUN_ID"):
        spec["parent"] = parent
    told = {**os.environ, **wanted.get("variables", {}), **(variables or {})}
    launch = {
        "command": arguments, "environ": caller.environ(told), "folder": str(folder),
        "umask": caller.umask(),
    }  # fmt: skip
    return post(workspace.connection, spec, launch)


def checked_folder(folder: str | Path, workspace: Workspace) -> Path:
    """The folder, absolute. Raises Invalid unless it is one, or another machine's."""
    path = Path(folder).expanduser().absolute()
    if not workspace.url and not path.is_dir():
        what = "it is a file, not a folder" if path.exists() else "there is no such folder"
        raise Invalid.field("folder", str(path), what)
    return path


def with_data(
    run_id: str, inputs: Mapping[str, Any], deliveries: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a spec for datasets: inputs, deliveries, and the outputs that those declare."""
    if not inputs and not deliveries:
        return {"outputs": []}
    from outlast.sdk.datasets import delivered, given  # 15 ms that few submissions pay

    folders = {name: delivered(run_id, name, value) for name, value in deliveries.items()}
    return {
        "inputs": {name: given(name, value) for name, value in inputs.items()},
        "deliveries": folders,
        "outputs": [{"path": one["folder"], "is_required": False} for one in folders.values()],
    }


def _after(
    after: Sequence[str | RunHandle], inputs: Mapping[str, Any], connection: Connection
) -> list[str]:
    """The runs to wait for: those named, and those that make an input and aren't over."""
    ids = [run.id if isinstance(run, RunHandle) else run for run in after]
    makers = dict.fromkeys(given["run"] for given in inputs.values() if given.get("run"))
    return ids + [id for id in makers if id not in ids and not RunHandle(connection, id).is_over]


def post(connection: Connection, spec: dict[str, Any], launch: dict[str, Any]) -> RunHandle:
    """Ask the server for this run, once however often the way there and back breaks.

    Raises Invalid, Conflict when there is a run of this id, or Unreachable.
    """
    try:
        row = connection.post("/api/runs", {"spec": spec, "launch": launch}, repeat=True)
    except Conflict as error:
        # Of two tries the first was carried out, and only its answer was lost.
        if not error.facts.get("is_repeated"):
            raise
        row = _queued(RunHandle(connection, spec["id"]), error)
    return RunHandle(connection, row["id"], row)


def _queued(handle: RunHandle, conflict: Conflict) -> dict[str, Any]:
    try:
        return handle.fetch()
    except NotFound:
        raise conflict from None


def words_of(command: str | Sequence[Any], python: str) -> list[str]:
    """The words of a command that was given in any way; a script alone is `python`'s."""
    if isinstance(command, str):
        import shlex

        try:
            words = shlex.split(command)
        except ValueError as error:
            raise Invalid.field("command", command, f"it can't be split ({error})") from None
        if len(words) == 1 and words[0].endswith(".py"):
            words = [python, *words]
    else:
        words = [str(argument) for argument in command]
    for word in words:
        if not caller.is_text(word):
            raise Invalid.field("command", word, "use arguments that are UTF-8 without NUL")
    if not words:
        raise Invalid.field("command", command, "give a command to run, as ['python', 'train.py']")
    return words


def declared(output: str | Output | Mapping[str, Any]) -> Any:
    """An output as JSON, however it was given."""
    if isinstance(output, Output):
        return {**output._asdict(), "check": list(output.check)}
    return output if isinstance(output, str) else dict(output)


def user() -> str:
    """Who this process belongs to."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user id without a name, as in some containers
        return str(os.getuid())


def git_facts(folder: Path) -> dict[str, Any]:
    """Commit, branch, remote and whether files differ; {} outside a repository or without git."""
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return {}
    try:
        # One call for all that always exists; untracked files are the snapshot's business.
        told = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
        url = _git(folder, "config", "--get", "remote.origin.url", codes=(0, 1)).strip()
    except (OSError, ValueError):
        return {}
    heads = [line[2:].split(" ", 1) for line in told.splitlines() if line.startswith("# branch.")]
    head = {name: value for name, value in heads}
    commit = head.get("branch.oid", "")
    return {
        "commit": "" if commit == "(initial)" else commit,
        "branch": head.get("branch.head", ""),
        "is_dirty": any(not line.startswith("#") for line in told.splitlines()),
        "remote": redact.text(url) if url else None,
    }


def _git(folder: Path, *words: str, codes: tuple[int, ...] = (0,)) -> str:
    """What git prints. Raises OSError, or ValueError for another exit code and for silence."""
    import subprocess

    # Never takes the lock that a commit of the user's needs, never asks for a password.
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=GIT_TIMEOUT_S, env=environ,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError("git took too long") from None
    if done.returncode not in codes:
        raise ValueError(f"git ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
