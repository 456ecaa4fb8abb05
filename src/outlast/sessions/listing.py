"""What is said of a session in a list: who is there, what runs in it, and which limits it has.

Asked of its supervisor where it has one, and read from its folder otherwise. Blocks, for a second
at most when the supervisor doesn't answer; a session is listed all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast.errors import JournalError, Unreachable
from outlast.journal.cursor import Cursor
from outlast.journal.trim import first_offset
from outlast.run.folder import COMMANDS, OUTPUT, RunFolder
from outlast.run.spec import RunSpec, Terminal
from outlast.sessions.opening import is_shell, shown_command
from outlast.supervisor import control

STATUS_S = 1.0
_TAIL_BYTES = 64 << 10


class Foreground(NamedTuple):
    """The command that has the terminal now."""

    command: str
    since_ns: int


class Facts(NamedTuple):
    """What is known of a session beside its row in the index."""

    shell: str  # its command, as a person would say it
    columns: int
    rows: int
    last_byte_ns: int  # when it printed last; 0 = never
    driver: str | None
    viewers: list[str]
    foreground: Foreground | None  # None: its shell waits for a command
    cwd: str
    output_bytes: int  # printed in all
    kept_bytes: int  # of them still there
    quota_bytes: int  # the most that is kept
    idle_s: float  # ended after so long without anybody and anything; 0 = never
    entered: str  # the run in whose folder and environment it is; "" = none
    missing_variables: str  # of that run: they were secret, so nobody kept them
    is_answered: bool  # did its supervisor answer just now?


def facts(folder: RunFolder, spec: RunSpec, *, is_over: bool) -> Facts:
    """Look at one session."""
    asked = spec.terminal or Terminal()
    answer = {} if is_over else _status(folder)
    terminal: Mapping[str, Any] = answer.get("terminal") or {}
    main_pid = (answer.get("main") or {}).get("pid", 0)
    output = folder.file(OUTPUT)
    try:
        stat = os.stat(output)
        size_bytes, touched_ns = stat.st_size, stat.st_mtime_ns if stat.st_size else 0
        first = min(first_offset(output), size_bytes)
    except (OSError, JournalError):
        size_bytes = touched_ns = first = 0
    return Facts(
        shell=shown_command(spec),
        columns=terminal.get("columns", asked.columns),
        rows=terminal.get("rows", asked.rows),
        last_byte_ns=terminal.get("last_byte_ns") or touched_ns,
        driver=terminal.get("driver"),
        viewers=list(terminal.get("viewers", ())),
        foreground=None if is_over else _foreground(folder, spec, terminal, main_pid),
        cwd=terminal.get("cwd") or _last_told(folder).get("cwd", ""),
        output_bytes=size_bytes,
        kept_bytes=size_bytes - first,
        quota_bytes=asked.quota_bytes,
        idle_s=asked.idle_s,
        entered=spec.properties.get("entered", ""),
        missing_variables=spec.properties.get("missing_variables", ""),
        is_answered=bool(terminal),
    )


def _status(folder: RunFolder) -> dict[str, Any]:
    try:
        return control.ask(folder, {"op": "status"}, STATUS_S)
    except Unreachable:
        return {}


def _foreground(
    folder: RunFolder, spec: RunSpec, terminal: Mapping[str, Any], main_pid: int
) -> Foreground | None:
    """As the shell told it; of one that tells nothing, the process that has the terminal.

    A shell that has the terminal itself waits at its prompt; any other command of a session runs.
    """
    told = _last_told(folder)
    if told.get("k") == "start" and told.get("command"):
        return Foreground(str(told["command"]), int(told["t"]))
    process = terminal.get("foreground")
    if not process:
        return None
    command = str(process.get("command", ""))
    # Without a shell here, an end was told by one behind the command, as of ssh: that goes on.
    if is_shell(spec):
        name = os.path.basename(command.partition(" ")[0])
        is_itself = process.get("pid") == main_pid and name == shown_command(spec)
        if is_itself or told.get("k") == "end":
            return None
    return Foreground(command, int(process.get("since_ns", 0)))


def _last_told(folder: RunFolder) -> dict[str, Any]:
    """The last record of `commands`; {} when there is none."""
    path = folder.file(COMMANDS)
    try:
        start = max(0, os.stat(path).st_size - _TAIL_BYTES)
        with Cursor(path, start) as cursor:
            records = cursor.read_records().records  # the first line may be torn: it is left out
    except (OSError, JournalError):
        return {}
    return dict(records[-1]) if records else {}
