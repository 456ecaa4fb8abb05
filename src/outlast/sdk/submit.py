"""Ask for a run: from a command and keywords to a spec, and to the server.

The real command and environment travel apart from the spec, which is kept and shown: secrets are
starred out in it before it leaves this process.
"""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast.errors import Invalid
from outlast.run import redact
from outlast.run.spec import Output
from outlast.sdk.handle import RunHandle
from outlast.sdk.workspace import Workspace

__all__ = ["Output", "submit"]


def submit(
    command: str | Sequence[Any],
    *,
    experiment: str = "default",
    name: str = "",
    folder: str | Path = ".",
    in_place: bool = False,
    outputs: Sequence[str | Output | Mapping[str, Any]] = (),
    variables: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    after: Sequence[str | RunHandle] = (),
    tags: Mapping[str, str | None] | None = None,
    id: str | None = None,
    workspace: Workspace | None = None,
) -> RunHandle:
    """Queue a run and return at once; the run goes on whatever becomes of this process.

    `command` is a list of arguments, a string that is split as a shell splits words, or the path of
    a Python script ("train.py"), which runs with this interpreter. The run works on a snapshot of
    `folder`, or with `in_place` in the folder itself. `outputs` are files or folders that it must
    produce, beside `outputs/`, which is always collected. `resources` (cpus, memory_bytes, gpus),
    `limits` and `policy` hold the fields of run.spec.

    Raises Invalid (names the field; nothing was queued) or Unreachable.
    """
    workspace = workspace or Workspace()
    folder = Path(folder).expanduser().absolute()
    arguments = _arguments(command)
    spec: dict[str, Any] = {
        "experiment": experiment,
        "name": name,
        "command": redact.command(arguments),
        "source": {"kind": "in_place" if in_place else "snapshot", "folder": str(folder)},
        "variables": redact.variables(variables or {}),
        "parameters": dict(parameters or {}),
        "outputs": [_output(output) for output in outputs],
        "resources": dict(resources or {}),
        "limits": dict(limits or {}),
        "policy": dict(policy or {}),
        "after": [run.id if isinstance(run, RunHandle) else run for run in after],
        "tags": dict(tags or {}),
        "created_by": _user(),
        "git": git_facts(folder),
    }
    if id is not None:
        spec["id"] = id
    if parent := os.environ.get("OUTLAST_RUN_ID"):
        spec["parent"] = parent
    launch = {
        "command": arguments,
        "environ": environ({**os.environ, **(variables or {})}),
        "folder": str(folder),
    }
    row = workspace.connection.post("/api/runs", {"spec": spec, "launch": launch})
    return RunHandle(workspace.connection, row["id"], row)


def _arguments(command: str | Sequence[Any]) -> list[str]:
    if isinstance(command, str):
        words = shlex.split(command)
        if len(words) == 1 and words[0].endswith(".py"):
            words = [sys.executable, *words]
    else:
        words = [str(argument) for argument in command]
    if not words:
        raise Invalid.field("command", command, "give a command to run, as ['python', 'train.py']")
    return words


def environ(variables: Mapping[str, str]) -> dict[str, str]:
    """A job's environment, made from a caller's: without what belongs to the caller's own run.

    Python writes its output at once unless the caller has decided otherwise; else a log that is
    followed live would lag by 8 KiB.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(("OUTLAST_RUN", "OUTLAST_ATTEMPT", "OUTLAST_OUTPUTS"))
        and name not in ("OUTLAST_DETACHED", "OUTLAST_TOKEN")
    }
    kept.setdefault("PYTHONUNBUFFERED", "1")
    return kept


def _output(output: str | Output | Mapping[str, Any]) -> Any:
    if isinstance(output, Output):
        return {**output._asdict(), "check": list(output.check)}
    return output if isinstance(output, str) else dict(output)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return str(os.getuid())


def git_facts(folder: Path) -> dict[str, Any]:
    """Commit, branch, remote and whether files differ; {} outside a repository or without git."""

    def ask(*words: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            timeout=5,
            check=True,
            text=True,
        )
        return answer.stdout.strip()

    try:
        # One call for the two facts that always exist; it fails fast outside a repository.
        commit, branch = ask("rev-parse", "HEAD", "--abbrev-ref", "HEAD").split("\n")[:2]
        is_dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    facts: dict[str, Any] = {"commit": commit, "branch": branch, "is_dirty": is_dirty}
    try:
        facts["remote"] = redact.text(ask("remote", "get-url", "origin"))
    except subprocess.SubprocessError:
        facts["remote"] = None
    return facts
