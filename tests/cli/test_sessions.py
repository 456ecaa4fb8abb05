"""Sessions from the command line: a real server, a real supervisor, and a PTY as the user's."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fcntl import ioctl

import pytest

from outlast.sdk.sessions import first_kept
from outlast.sdk.workspace import Workspace
from tests.cli.terminal import COMMAND, Piped, Terminal
from tests.sdk.place import Place

Tty = Callable[..., AbstractContextManager[Terminal]]
DETACH = b"\x1dd"
# `cat` as the shell: what is typed comes back once by the PTY's echo, once by cat.
CAT = ("--", "sh", "-c", "echo ready; exec cat")
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def closed(cli: Piped) -> Iterator[None]:
    """No test leaves a session behind."""
    yield
    if left := cli("sessions", "-q").out.split():
        cli("close", "--force", *left)


def opened(cli: Piped, *words: str) -> str:
    done = cli("shell", "-d", *words)
    assert done.code == 0, done.err
    return done.out.strip()


def test_shell_sits_down_at_a_command_and_exits_as_it_did(tty: Tty) -> None:
    with tty("shell", "--", "sh", "-c", "stty size; read line; echo got $line; exit 7") as shell:
        shell.until("24 80")
        shell.press(b"keys\r")
        shell.until("got keys")
        assert shell.end() == 7
        assert "ended at" in shell.text
        assert "exit code 7" in shell.text


def test_detach_leaves_it_running_and_attach_comes_back(cli: Piped, tty: Tty) -> None:
    with tty("shell", "--name", "kept", *CAT) as shell:
        shell.until("Ctrl-] d detaches")
        shell.until("ready")
        shell.press(b"half a li" + DETACH)
        assert shell.end() == 0
        session = re.search(r"outlast attach (\S+)", shell.text)
        assert session is not None
    with tty("attach", "kept") as again:
        again.until("half a li")
        again.press(b"ne\r")
        again.until("half a line\r\n")
        again.press(b"\x04")
        assert again.end() == 0
    assert session[1] in cli("sessions", "-a", "-q").out.split()


def test_the_escape_twice_is_the_key_itself_and_another_key_can_be_chosen(tty: Tty) -> None:
    with tty(
        "shell", "--escape", "^b", "--", "sh", "-c", "stty raw; echo ready; od -An -tx1 -N3"
    ) as s:
        s.until("Ctrl-B d detaches")
        s.until("ready")
        s.press(b"\x02\x02\x1dd")
        s.until("02 1d 64")
        s.end()


def test_the_terminal_is_given_back_as_it_was(cli: Piped, tty: Tty) -> None:
    session = opened(cli, *CAT)
    for leave in (
        lambda t: t.press(DETACH),
        lambda t: os.kill(t.pid, signal.SIGTERM),
        lambda t: cli("close", "--force", session),
    ):
        with tty("attach", session) as attached:
            before = termios.tcgetattr(attached.fd)
            attached.until("ready")
            assert termios.tcgetattr(attached.fd) != before
            leave(attached)
            attached.end()
            assert "\x1b[?25h" in attached.text
            assert termios.tcgetattr(attached.fd)[:4] == before[:4]


def test_the_window_may_change_its_size(tty: Tty) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with tty("shell", "--", "sh", "-c", script) as shell:
        shell.until("ready")
        ioctl(shell.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 111, 0, 0))
        os.kill(shell.pid, signal.SIGWINCH)
        shell.until("40 111")
        shell.press(DETACH)
        shell.end()


def test_a_viewer_types_nothing_and_a_later_driver_takes_over(cli: Piped, tty: Tty) -> None:
    session = opened(cli, *CAT)
    with tty("attach", session) as first, tty("attach", "--read-only", session) as viewer:
        first.until("ready")
        viewer.until("ready")
        viewer.press(b"from the viewer\r")
        first.press(b"from the first\r")
        viewer.until("from the first\r\nfrom the first\r\n")
        with tty("attach", session) as second:
            second.until("from the first\r\nfrom the first")
            first.until("types now, you look on")
            first.press(b"fenced\r")
            second.press(b"from the second\r")
            first.until("from the second\r\nfrom the second\r\n")
            first.press(b"\x1dt")
            second.until("types now, you look on")
            first.press(b"back\r")
            second.until("back\r\nback\r\n")
            for terminal in (first, second, viewer):
                terminal.press(DETACH)
                assert terminal.end() == 0
                assert "fenced\n" not in terminal.text
                assert "from the viewer" not in terminal.text
    cli("close", session)


def test_a_restart_of_the_server_is_a_pause(cli: Piped, tty: Tty) -> None:
    """Keys typed meanwhile wait, and arrive once; the title tells how long it has lasted."""
    with tty("shell", *CAT) as shell:
        shell.until("ready")
        assert cli("down").code == 0
        shell.until("offline for")
        shell.press("while öffline\r".encode())
        shell.until("14 keys queued")
        assert cli("up", "-d").code == 0
        shell.until("while öffline\r\nwhile öffline\r\n")
        shell.press(b"online\r")
        shell.until("online\r\nonline\r\n")
        shell.press(b"\x04")
        assert shell.end() == 0
        assert shell.text.count("while öffline\n") == 2


def test_the_line_below_is_asked_for_and_hides_nothing(cli: Piped, tty: Tty) -> None:
    """The cursor stands on the last line: the screen is moved up by one, then the line is drawn."""
    with tty("shell", *CAT) as shell:
        shell.until("ready")
        assert cli("down").code == 0
        shell.until("\x1b[6n")
        shell.press(b"\x1b[24;3R")
        shell.until("\n\x1b[A\x1b[24;1Houtlast: offline for")
        assert cli("up", "-d").code == 0
        shell.until("\x1b[24;1H\x1b[2K\x1b[23;3H")
        shell.press(b"on\r")
        shell.until("on\r\non\r\n")
        shell.press(b"\x04")
        assert shell.end() == 0
        assert "^[[24;3R" not in shell.text, "the answer was typed into the session"


def test_questions_in_old_output_are_not_asked_again(cli: Piped, tty: Tty) -> None:
    session = opened(cli, "--", "sh", "-c", r"printf 'a\033[cb\033]11;?\007c ready'; exec cat")
    with tty("attach", session) as attached:
        attached.until("ready")
        assert "\x1b[c" not in attached.text
        assert "\x1b]11;?" not in attached.text
        attached.press(DETACH)
        attached.end()
    cli("close", session)


def test_who_comes_after_the_end_sees_the_last_lines_and_the_exit_code(
    cli: Piped, tty: Tty
) -> None:
    session = opened(cli, "--", "sh", "-c", "echo famous last words; exit 3")
    assert cli("wait", session).code in (0, 3)
    with tty("attach", session) as attached:
        assert attached.end() == 3
        assert "famous last words" in attached.text
        assert "exit code 3" in attached.text
    assert "exit 3" in cli("sessions", "-a").out


def test_an_unknown_session_target_or_key_is_said_plainly(cli: Piped, tty: Tty) -> None:
    done = cli("attach", "nowhere")
    assert done.code == 5
    assert "there is no session 'nowhere'" in done.err
    done = cli("shell", "gpu7")
    assert done.code == 5
    assert "local" in done.err
    assert cli("shell", "--escape", "x", "-d").code == 2
    assert "behind --" in cli("shell", "python", "train.py").err
    done = cli("shell")
    assert done.code == 2
    assert "isn't one" in done.err


def test_a_command_that_is_not_there_is_said_with_the_shells_code(tty: Tty) -> None:
    with tty("shell", "--", "/nonexistent/command") as shell:
        assert shell.end() == 127
        assert "no command '/nonexistent/command'" in " ".join(shell.text.split())
        assert "exit code" not in shell.text


def test_a_session_is_not_drawn_in_itself(tty: Tty) -> None:
    with tty("shell", "--", "bash", "--norc") as shell:
        shell.press(b'o() { %s -m outlast "$@"; echo code $?; }\r' % sys.executable.encode())
        shell.press(b"o attach --read-only $OUTLAST_SESSION\r")
        shell.until("code 6")
        assert "itself" in shell.text
        shell.press(b"o shell -- echo another one\r")
        shell.until("code 0")
        shell.press(b"exit\r")
        assert shell.end() == 0


def test_a_terminal_that_knows_no_sequences_is_told(cli: Piped, tty: Tty) -> None:
    session = opened(cli, *CAT)
    with tty("shell", "--", "env", "TERM=dumb", *COMMAND, "attach", session) as shell:
        shell.until("TERM is dumb")
        assert shell.end() == 2


def test_a_transcript_says_what_was_given_up_to_the_quota(cli: Piped, place: Place) -> None:
    wanted = {
        "command": ["sh", "-c", "seq 1 1000000; exec sleep 600"],
        "environ": {"PATH": os.environ["PATH"]}, "folder": str(place.home),
        "quota_bytes": 1 << 20,
    }  # fmt: skip
    workspace = Workspace(place.home)
    session = workspace.connection.post("/api/sessions", wanted)["id"]
    deadline = time.monotonic() + 30
    while not first_kept(session, workspace=workspace):  # it is trimmed within some seconds
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done = cli("transcript", session)
    assert done.code == 0
    assert done.out.endswith("1000000\n")
    assert re.search(r"the first \S+ MB were given up", done.err), done.err
    assert "given up" not in cli("transcript", opened(cli, "--", "true")).err


def test_close_ends_a_session_and_who_is_attached_is_told(cli: Piped, tty: Tty) -> None:
    session = opened(cli, *CAT)
    with tty("attach", session) as attached:
        attached.until("ready")
        assert session in cli("close", session).out
        assert attached.end() == 3
        assert ": closed" in attached.text
        assert "signal" not in attached.text
    assert session not in cli("sessions", "-q").out


def test_the_last_session_is_meant_by_last_and_no_run(cli: Piped) -> None:
    older, newer = opened(cli, *CAT), opened(cli, *CAT)
    assert cli("run", "--", "true").code == 0
    assert cli("close", "@last").out.startswith(newer)
    assert cli("close", "@-2").out.startswith(older)
    assert "sessions" in cli("close", "@-9999").err


def test_sessions_lists_what_is_open_with_its_limits(cli: Piped) -> None:
    session = opened(cli, "--name", "listed", "--", "sh", "-c", "echo x; exec cat")
    shown = cli("sessions").out
    assert session in shown
    assert "LAST BYTE" in shown
    assert " of 1.1 GB" in shown
    rows = json.loads(cli("sessions", "--json").out)
    assert "listed" in [row["name"] for row in rows]
    cli("close", "listed")


def test_a_transcript_is_read_searched_and_exported(cli: Piped) -> None:
    script = "for i in 1 2 3; do echo line $i; done; printf '\\033[31mred\\033[0m\\n'"
    session = opened(cli, "--", "sh", "-c", script)
    cli("wait", session)
    assert cli("transcript", session).out.splitlines() == ["line 1", "line 2", "line 3", "red"]
    hits = cli("transcript", session, "--search", "LINE 2")
    assert hits.code == 1
    hits = cli("transcript", session, "--search", "line 2")
    assert len(hits.out.splitlines()) == 1
    assert "line 2" in hits.out
    cast = cli("transcript", session, "--export", "asciicast").out.splitlines()
    assert json.loads(cast[0])["version"] == 3
    assert "red" in "".join(json.loads(line)[2] for line in cast[1:])
    assert cli("transcript", session, "--commands").code == 1
    assert cli("transcript", session, "--commands", "--search", "x").code == 2
