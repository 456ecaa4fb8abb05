"""`attach` and `shell` share this: sit at a session, and say how it ended or how to come back."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from typing import Any

import click

from outlast import units
from outlast.cli import exits, reach
from outlast.cli.show import say
from outlast.errors import Conflict, Invalid, NotFound, OutlastError, Refused
from outlast.printable import one_line
from outlast.run.state import TERMINAL

NO_ESCAPE = "none"
TOLD_S = 5.0


def escape_key(text: str) -> bytes:
    """The byte of "^]", "^a" or "none". Raises Invalid."""
    if text == NO_ESCAPE:
        return b""
    if len(text) == 2 and text[0] == "^" and "@" < text[1].upper() <= "_":
        return bytes([ord(text[1].upper()) & 0x1F])
    raise Invalid.field("--escape", text, "give a control key as ^] or ^a, or none")


def size() -> tuple[int, int]:
    """Columns and rows of this terminal. Raises Invalid when there is none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Invalid(
            "a session is drawn on a terminal, and stdin or stdout isn't one",
            hint="outlast shell -d -- COMMAND   (only opens it), or outlast run -- COMMAND",
        )
    if os.environ.get("TERM") == "dumb":
        raise Invalid(
            "a session is drawn by control sequences, and this terminal knows none (TERM is dumb)",
            hint="outlast transcript SESSION, or TERM=xterm-256color where that is what it is",
        )
    found = os.get_terminal_size(sys.stdout.fileno())
    return found.columns or 80, found.lines or 24


def sit_at(row: dict[str, Any], *, is_driver: bool, escape: str) -> int:
    """Attach this terminal to a session until it ends or the user leaves; the exit code."""
    from outlast.cli.terminal import DRIVER, VIEWER, Attachment, Outcome, hint_of, name_of
    from outlast.cli.tty import Tty
    from outlast.transport.connection import in_path
    from outlast.transport.websocket import WebSocket

    key = escape_key(escape)
    _check_elsewhere(row["id"])
    connection = reach.workspace().connection
    path = f"/api/sessions/{in_path(row['id'])}/terminal"
    size()
    tty = Tty()
    if key:
        more = f", {name_of(key)} t takes the keyboard back" if is_driver else ", read-only"
        say(f"session {row['id']}: {hint_of(key)}{more}")

    def open_socket(offline_s: float) -> WebSocket:
        return WebSocket(connection.find_again(offline_s), path)

    outcome = Outcome("terminated")
    try:
        with tty:
            attachment = Attachment(
                row["id"], tty, open_socket, role=DRIVER if is_driver else VIEWER, escape=key,
                who=f"{getpass.getuser()}@{socket.gethostname()}",
            )  # fmt: skip
            outcome = attachment.run()
    finally:
        # The session's last line may not have ended.
        if sys.stderr.isatty() and outcome.how != "hung up":
            click.echo("\r", err=True)
    return _said(row["id"], outcome)


def _check_elsewhere(session: str) -> None:
    """Drawn in itself, a session would draw what it draws, for ever. Raises Conflict."""
    if os.environ.get("OUTLAST_SESSION") == session:
        raise Conflict(
            f"this terminal is session {session} itself",
            hint=f"env -u OUTLAST_SESSION outlast attach {session}   (if it no longer is)",
        )


def _said(session: str, outcome: Any) -> int:
    """Tell why it is over; the exit code."""
    if outcome.skipped_bytes:
        skipped = units.size(outcome.skipped_bytes)
        say(f"{skipped} were skipped here; they are kept: outlast transcript {session}")
    if outcome.how == "ended":
        return _ended(session, outcome.ended)
    if outcome.how == "detached":
        say(f"detached; the session goes on: outlast attach {session}")
        return exits.OK
    if outcome.how == "refused":
        raise _refusal(session, outcome.reason)
    return exits.TERMINATED if outcome.how == "terminated" else exits.HUNG_UP


def _ended(session: str, ended: Any) -> int:
    """The exit card."""
    when = f" at {units.clock(ended.t_ns, now_ns=time.time_ns())}" if ended.t_ns else ""
    is_plain = not ended.message or ended.status == "Completed"
    why = "" if is_plain else f": {one_line(ended.message)}"
    if ended.status == "Canceled":
        fate, code = "" if why else "closed", exits.CANCELED
    elif ended.signal is not None:
        fate, code = f"killed by signal {ended.signal}", 128 + int(ended.signal)
    elif ended.code is not None:
        code = int(ended.code)
        fate = f"exit code {code}"
    else:  # it never started, or nobody is left who saw its end
        fate, code = "", _code_of(session)
    say(f"session {session} ended{when}{', ' if fate else ''}{fate}{why}")
    return code


def _code_of(session: str) -> int:
    """What its run's end stands for; the server may be about to learn of it."""
    handle = reach.run(session)
    version, state = handle.state()
    until_s = time.monotonic() + TOLD_S
    while state["status"] not in TERMINAL and time.monotonic() < until_s:
        version, state = handle.state(version, wait_s=TOLD_S)
    return exits.of_run(handle.fetch())


def _refusal(session: str, reason: str) -> OutlastError:
    message = f"session {session}: {one_line(reason)}"
    if "look on" in reason:
        return Refused(message, hint=f"outlast attach --read-only {session}")
    return NotFound(message, hint="outlast sessions --all")


escape_option = click.option(
    "--escape",
    metavar="KEY",
    default="^]",
    show_default=True,
    help="The key before d (detach) and t (take over); none for no such key.",
)
