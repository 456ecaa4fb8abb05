"""A session's terminal: a real PTY under a real supervisor, driven over its socket."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import outlast
from outlast import process
from outlast.journal.cursor import Cursor
from outlast.journal.trim import first_offset
from outlast.run import events as ev
from outlast.wire import frame as wire
from outlast.wire.frame import Frame
from tests.supervisor.attaching import Attached
from tests.supervisor.conftest import PYTHON, Run, kill, wait_gone

SHELL = ["/bin/bash", "--norc", "--noprofile", "-i"]


def session(run: Run, command: list[str] | None = None, **terminal: Any) -> Run:
    """A session without limits, as the server opens it."""
    run.spec.update(kind="session", terminal={"columns": 100, "rows": 30, **terminal})
    run.limits(leftovers_s=1e9, idle_leftovers_s=1e9, stop_grace_s=2.0)
    run.environ["PS1"] = "ready> "
    run.start(command or SHELL)
    run.wait(ev.Started)
    return run


@contextmanager
def attached(run: Run, role: str = "driver", **request: Any) -> Iterator[Attached]:
    seat = Attached(str(run.path), role, **request)
    try:
        yield seat
    finally:
        seat.close()


def records(run: Run, name: str) -> list[dict[str, Any]]:
    with Cursor(run.folder.file(name)) as cursor:
        found: list[dict[str, Any]] = []
        batch = cursor.read_records()
        while batch.records:
            assert not batch.corrupt
            found += batch.records
            batch = cursor.read_records()
        return found


def blocks(path: Path) -> int:
    """Bytes that the file takes up on the disk."""
    return path.stat().st_blocks * 512


def raw(run: Run) -> bytes:
    return run.path.joinpath("output").read_bytes()


def test_the_command_has_a_terminal_of_its_own_with_the_asked_size(run: Run) -> None:
    script = (
        "import os, sys\n"
        "print(*os.get_terminal_size(0), os.isatty(0), os.isatty(1), os.isatty(2))\n"
        "print(os.getsid(0) == os.getpid(), os.tcgetpgrp(0) == os.getpgrp(), os.ttyname(0))\n"
        "print(os.environ['TERM'], os.environ['COLORTERM'], 'LINES' in os.environ)\n"
        "print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:4], open('/dev/tty').isatty())"
    )
    run.environ["LINES"] = "7"
    session(run, [PYTHON, "-c", script])
    run.ended()
    lines = run.output.splitlines()
    assert lines[0] == "100 30 True True True"
    assert lines[1].startswith("True True /dev/pts/")
    assert lines[2] == "xterm-256color truecolor False"
    assert lines[3] == "[0, 1, 2, 3] True"  # 3 is the listing itself
    assert records(run, "timing")[0]["size"] == [100, 30]


def test_a_script_started_by_hand_in_a_session_logs_into_a_run_of_its_own(run: Run) -> None:
    script = (
        "from outlast.runtime.current import get_context\n"
        "run = get_context(); run.log('loss', 0.5); print('id', run.id)"
    )
    root = str(Path(outlast.__file__).parent.parent)
    run.environ["PYTHONPATH"] = root
    session(run, [PYTHON, "-c", script])
    assert run.ended().outcome == "completed"
    assert run.output.startswith("id ")
    assert run.output.split()[1] != run.path.name
    assert not list(run.path.glob("logged.*"))
    made = run.path.parent / run.output.split()[1]
    assert json.loads((made / "spec.json").read_text())["parent"] == run.path.name


def test_a_launch_may_name_its_own_kind_of_terminal(run: Run) -> None:
    run.environ["TERM"] = "vt100"
    session(run, ["/bin/sh", "-c", "echo is $TERM"])
    run.ended()
    assert "is vt100\n" in run.output


def test_what_is_typed_reaches_the_shell_once_and_its_answer_the_journal(run: Run) -> None:
    session(run)
    with attached(run) as driver:
        assert driver.answer["ok"] is True
        assert (driver.answer["role"], driver.answer["epoch"]) == ("driver", 1)
        driver.type(b"echo $((6*7))\r")
        driver.wait_accepted()
        run.wait_output("\n42")
        assert driver.wait(wire.WRITTEN).number <= len(raw(run))
        driver.type(b"exit 3\r")
        ended = run.ended()
        told = driver.wait(wire.EXIT)
    said = told.said()
    assert (said["code"], said["signal"], said["status"]) == (3, None, "Completed")
    assert told.number == run.wait(ev.Exited).output_offset <= len(raw(run))
    assert (ended.outcome, ended.cause) == ("completed", "")
    assert run.log == ""


def test_a_little_output_is_told_as_it_is_and_much_only_by_its_length(run: Run) -> None:
    session(run, ["/bin/sh", "-c", "stty raw -echo; echo ready; exec cat"])
    run.wait_output("ready\n")
    with attached(run) as driver:
        driver.type(b"a key")
        driver.wait_accepted()
        few = driver.wait(wire.WRITTEN)
        whole = raw(run)
        assert few.payload
        assert few.payload == whole[few.number - len(few.payload) : few.number]
        driver.type(b"x" * 60_000)
        while (much := driver.wait(wire.WRITTEN)).number < few.number + 60_000:
            assert len(much.payload) <= 2 << 10
        driver.wait_accepted()


def test_a_key_without_an_echo_is_accepted_as_well(run: Run) -> None:
    session(run, ["/bin/sh", "-c", "stty -echo; echo ready; exec sleep 600"])
    run.wait_output("ready")
    with attached(run) as driver:
        driver.type(b"secret")
        driver.wait_accepted()
        assert driver.accepted == 6


def test_all_output_is_read_before_the_end_is_told(run: Run) -> None:
    for attempt in range(1, 6):
        run.path.joinpath("output").unlink(missing_ok=True)
        run.spec.update(kind="session", terminal={})
        run.write(["/bin/sh", "-c", "seq 20000"], attempt=attempt)
        run.supervise(attempt=attempt)
        run.wait(ev.Ended, count=attempt)
        exited = run.wait(ev.Exited, count=attempt)
        assert raw(run) == "".join(f"{n}\r\n" for n in range(1, 20001)).encode()
        assert exited.output_offset == len(raw(run))


def test_repeats_are_trimmed_and_a_gap_is_refused(run: Run) -> None:
    session(run, ["/bin/cat"])
    with attached(run) as driver:
        driver.type(b"abcdef\r")
        driver.wait_accepted()
        driver.send(Frame(wire.INPUT, 3, b"def\rghi\r"))
        run.wait_output("abcdef\nghi\n")
        driver.wait_accepted()
        driver.sent += len(b"ghi\r")
        driver.type(b"end\r")
        run.wait_output("end\nend\n")
        assert raw(run).count(b"abcdef\r\n") == 2  # its echo, and cat's
        assert raw(run).count(b"ghi\r\n") == 2
        driver.send(Frame(wire.INPUT, 1000, b"x"))
        said = driver.wait(wire.BYE).said()
        assert said["final"] is False
        assert "1000" in said["reason"]
    assert b"x" not in raw(run)


def test_another_driver_takes_over_and_the_old_one_is_fenced(run: Run) -> None:
    session(run, ["/bin/cat"])
    with attached(run, who="ann") as ann, attached(run, who="bob") as bob:
        assert bob.answer["epoch"] == 2
        news = ann.wait(wire.NEWS, role="viewer").said()
        assert (news["driver"], news["viewers"], news["epoch"]) == ("bob", ["ann"], 2)
        ann.type(b"from ann\r")
        ann.wait(wire.NEWS, role="viewer")
        bob.type(b"from bob\r")
        run.wait_output("from bob\nfrom bob\n")
        assert b"ann" not in raw(run)
    with attached(run, key=ann.key, epoch=1) as late:
        assert (late.answer["role"], late.answer["fenced"]) == ("viewer", True)
    with attached(run, key=bob.key, epoch=2) as again:
        assert (again.answer["role"], again.answer["epoch"]) == ("driver", 2)
        assert again.answer["accepted"] == len(b"from bob\r")


def test_the_same_driver_on_a_new_connection_replaces_the_old_one(run: Run) -> None:
    session(run, ["/bin/cat"])
    with attached(run) as old, attached(run, key=old.key, epoch=1) as new:
        assert (new.answer["role"], new.answer["epoch"]) == ("driver", 1)
        assert old.wait(wire.BYE).said()["final"] is True
        new.type(b"still me\r")
        run.wait_output("still me\nstill me")


def test_a_viewer_sees_who_is_here_and_moves_nothing(run: Run) -> None:
    session(run, ["/bin/cat"])
    with attached(run, who="ann") as ann, attached(run, "viewer", who="vic", columns=10) as vic:
        assert (vic.answer["role"], vic.answer["driver"]) == ("viewer", "ann")
        assert (vic.answer["columns"], vic.answer["rows"]) == (80, 24)  # ann's
        ann.wait(wire.NEWS, viewers=["vic"])
        vic.type(b"not for you\r")
        vic.resize(10, 10)
        vic.wait(wire.NEWS, role="viewer", driver="ann")
        vic.send(Frame(wire.PING, 7))
        assert vic.wait(wire.PONG).number == 7
        status = run.ask(op="status")["terminal"]
        assert (status["driver"], status["viewers"]) == ("ann", ["vic"])
        assert (status["columns"], status["rows"]) == (80, 24)
        vic.close()
        ann.wait(wire.NEWS, viewers=[])
    assert b"not for you" not in raw(run)


def test_a_new_size_reaches_the_program_the_others_and_the_journal(run: Run) -> None:
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size(0), flush=True))\n"
        "print('up', flush=True)\n"
        "while True: signal.pause()"
    )
    session(run, [PYTHON, "-c", script])
    run.wait_output("up")
    with attached(run, columns=100, rows=30) as ann, attached(run, "viewer") as vic:
        ann.resize(132, 50)
        run.wait_output("132 50")
        told = vic.wait(wire.SIZE)
        assert told.said() == {"columns": 132, "rows": 50}
        assert told.number <= raw(run).index(b"132 50")
        for _ in range(500):  # a window is dragged: the last size counts
            ann.resize(90, 40)
            ann.resize(91, 41)
        ann.resize(92, 42)
        run.wait_output("92 42")
        ann.resize(0, 50)
        assert ann.wait(wire.BYE).said()["final"] is False
    sizes = [record["size"] for record in records(run, "timing") if "size" in record]
    assert sizes[:2] == [[100, 30], [132, 50]]
    assert sizes[-1] == [92, 42]
    assert len(sizes) < 500


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"role": "king"}, "role"),
        ({"key": "xyz"}, "key"),
        ({"key": "ab"}, "key"),
        ({"epoch": -1}, "epoch"),
        ({"epoch": "first"}, "epoch"),
    ],
)
def test_an_attach_that_makes_no_sense_is_refused(
    run: Run, request_: dict[str, Any], word: str
) -> None:
    session(run, ["/bin/cat"])
    with attached(run, **request_) as refused:
        assert word in refused.answer["error"]
    assert run.ask(op="status")["terminal"]["viewers"] == []


def test_a_run_without_a_terminal_says_so(run: Run) -> None:
    run.shell("echo up; sleep 30")
    run.wait_output("up")
    with attached(run) as refused:
        assert "no terminal" in refused.answer["error"]


def test_sixty_four_may_attach_and_places_are_kept_for_those_who_type(run: Run) -> None:
    session(run, ["/bin/cat"])
    seats = [Attached(str(run.path), "viewer") for _ in range(56)]
    with attached(run, "viewer") as refused:
        assert "56" in refused.answer["error"]
    for _ in range(8):
        seats.append(Attached(str(run.path)))
        assert seats[-1].answer["role"] == "driver"
    with attached(run) as refused:
        assert "64" in refused.answer["error"]
    seats[0].close()
    until_s = time.monotonic() + 10
    while True:
        with attached(run) as driver:
            if "error" not in driver.answer:
                break
        assert time.monotonic() < until_s
    for seat in seats:
        seat.close()


def test_frames_that_make_no_sense_cost_only_their_own_connection(run: Run) -> None:
    session(run, ["/bin/cat"])
    with attached(run) as driver:
        for junk in (b"\xff" * 100, b"\0\0\0\x01", os.urandom(3000)):
            with attached(run, "viewer") as hostile:
                hostile.socket.sendall(junk)
                hostile.socket.shutdown(1)
                while hostile.pull(5.0):
                    continue
                assert hostile.is_closed
        driver.type(b"fine\r")
        run.wait_output("fine\nfine")
    assert run.log == ""


def test_who_does_not_read_costs_nothing_and_holds_up_nobody(run: Run) -> None:
    session(run, ["/bin/bash", "-c", "read x; seq 3000000; echo done; sleep 600"])
    with attached(run, "viewer") as stalled, attached(run) as driver:
        before = process.read_stat(run.supervisor)
        driver.type(b"\r")
        run.wait_output("done", timeout_s=60)
        after = process.read_stat(run.supervisor)
        assert before is not None
        assert after is not None
        assert after.rss_bytes - before.rss_bytes < 4 << 20
        size_bytes = len(raw(run))
        while stalled.pull(1.0):
            if any(f.kind == wire.WRITTEN and f.number == size_bytes for f in stalled.frames):
                break
        else:
            pytest.fail("the newest WRITTEN never came")


def test_a_huge_paste_passes_through_bounded_memory(run: Run) -> None:
    script = (
        "import hashlib, os, tty\n"
        "tty.setraw(0)\n"
        "print('up', flush=True)\n"
        "h, left = hashlib.sha256(), 100 << 20\n"
        "while left:\n"
        "    data = os.read(0, min(left, 1 << 16)); h.update(data); left -= len(data)\n"
        "print(h.hexdigest(), flush=True)"
    )
    session(run, [PYTHON, "-c", script])
    run.wait_output("up")
    pattern = bytes(range(256)) * 256
    digest = hashlib.sha256()
    before = process.read_stat(run.supervisor)
    peak_bytes = 0
    with attached(run) as driver:
        for _ in range((100 << 20) // len(pattern)):
            digest.update(pattern)
            driver.type(pattern)
            while driver.sent - driver.accepted > 256 << 10:
                assert driver.pull(10.0)
            now = process.read_stat(run.supervisor)
            assert now is not None
            peak_bytes = max(peak_bytes, now.rss_bytes)
        run.wait_output(digest.hexdigest(), timeout_s=60)
    assert before is not None
    assert peak_bytes - before.rss_bytes < 4 << 20


def test_a_program_that_reads_nothing_blocks_only_its_driver(run: Run) -> None:
    session(run, ["/bin/bash", "-c", "stty raw -echo; echo up; sleep 600"])
    run.wait_output("up")
    with attached(run) as driver, attached(run, "viewer") as viewer:
        driver.socket.settimeout(1.0)
        while driver.sent < 4 << 20:
            try:
                driver.type(b"x" * 65536)
            except TimeoutError:  # the rest waits in the kernel and at the sender
                break
        else:
            pytest.fail("all of it was taken, though nobody reads")
        viewer.send(Frame(wire.PING, 1))
        viewer.wait(wire.PONG)
        assert run.ask(op="status")["terminal"]["driver"] == "ann"
        with attached(run, who="bob") as bob:  # who takes over begins with an empty hand
            assert bob.answer["epoch"] == 2
            driver.wait(wire.NEWS, role="viewer")


def test_ctrl_c_gets_through_while_output_floods(run: Run) -> None:
    session(run)
    with attached(run) as driver:
        driver.type(b"yes\r")
        run.wait_output("y\ny\n")
        began_s = time.monotonic()
        driver.type(b"\x03")
        driver.wait_accepted()
        accepted_s = time.monotonic() - began_s
        driver.type(b"echo still $((40+2))\r")
        run.wait_output("still 42", timeout_s=20)
    assert accepted_s < 2.0  # 5 ms on a free machine


def test_what_runs_in_the_background_is_waited_for_and_may_still_print(run: Run) -> None:
    session(run)
    gate = run.working / "gate"
    with attached(run) as driver:
        loop = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo late"
        driver.type(f"(trap '' HUP; {loop}) & exit\r".encode())
        exited = driver.wait(wire.EXIT)
        assert exited.said()["code"] == 0
        run.wait(ev.Leftovers)
        with attached(run, "viewer") as later:
            assert later.wait(wire.EXIT).said()["code"] == 0
        assert "ended" not in run.kinds()
        gate.touch()
        ended = run.ended()
    assert raw(run)[exited.number :].endswith(b"late\r\n")
    assert ended.outcome == "completed"


def test_close_hangs_up_first_then_ends_what_ignores_that(run: Run) -> None:
    session(run)
    with attached(run) as driver:
        driver.type(b"nohup sleep 600 & setsid sleep 600 &\r")
        driver.wait_accepted()
        driver.type(b"echo both $((1+1))\r")
        run.wait_output("both 2")
        began_s = time.monotonic()
        run.ask(op="stop")
        ended = run.ended()
    assert (ended.outcome, ended.cause, ended.message) == ("canceled", "closed", "closed")
    signals = [stopping.signal for stopping in run.of(ev.Stopping)]
    assert signals[:2] == ["HUP", "TERM"]
    assert time.monotonic() - began_s < 10
    assert run.members() == []


def test_an_idle_session_ends_saying_so_but_not_while_somebody_looks(run: Run) -> None:
    session(run, idle_s=0.7)
    with attached(run, "viewer"):
        time.sleep(1.2)  # longer than it may be idle
        assert not run.of(ev.LimitReached)
    ended = run.ended()
    reached = run.wait(ev.LimitReached)
    assert (reached.limit, reached.allowed) == ("idle_s", 0.7)
    assert reached.observed >= 0.7
    assert (ended.outcome, ended.cause) == ("canceled", "idle")


def test_beyond_the_quota_the_oldest_output_is_given_back(run: Run) -> None:
    session(run, ["/bin/bash", "-c", "seq 1000000; echo done; sleep 600"], quota_bytes=1 << 20)
    run.wait_output("done", timeout_s=60)
    path = run.path / "output"
    size_bytes = path.stat().st_size
    until_s = time.monotonic() + 20
    quota_and_slack = 2 << 20  # it is trimmed for a good piece at a time
    while first_offset(str(path)) < size_bytes - quota_and_slack or blocks(path) > 4 << 20:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert path.stat().st_size == size_bytes
    assert first_offset(str(path)) <= size_bytes - (1 << 20)


def test_the_status_tells_what_runs_in_front_where_and_since_when(run: Run) -> None:
    run.working.joinpath("deep").mkdir()
    session(run)
    with attached(run) as driver:
        driver.type(b"cd deep; sleep 601\r")
        until_s = time.monotonic() + 10
        while True:
            status = run.ask(op="status")["terminal"]
            is_there = status["foreground"] and "sleep 601" in status["foreground"]["command"]
            if is_there and status["written"] == len(raw(run)) > 40:  # what was typed is echoed
                break
            assert time.monotonic() < until_s, status
        assert status["cwd"] == str(run.working / "deep")
        assert abs(time.time_ns() - status["foreground"]["since_ns"]) < 30e9
        assert abs(time.time_ns() - status["last_byte_ns"]) < 30e9


def test_commands_are_noted_from_the_marks_of_the_shell(run: Run) -> None:
    session(run)
    prompt = r"PS1='\[\e]133;A\a\]$ \[\e]133;B\a\]'; PS0='\e]633;E;false \\x3b x\a\e]133;C\a'"
    with attached(run) as driver:
        driver.type(prompt.encode() + b"\r")
        driver.type(
            rb"""PROMPT_COMMAND='printf "\e]133;D;%s\a\e]7;file://h%s\a" $? $PWD'""" + b"\r"
        )
        driver.type(b"false\r")
        driver.type(b"exit\r")
        run.ended()
    noted = records(run, "commands")
    starts = [record for record in noted if record["k"] == "start"]
    ends = [record for record in noted if record["k"] == "end"]
    assert [end["code"] for end in ends][-1] == 1
    assert starts[-2]["command"] == "false ; x"
    assert starts[-2]["cwd"] == str(run.working)
    assert raw(run)[: starts[-1]["at"]].endswith(b"\x1b]133;C\x07")
    assert raw(run)[starts[-1]["prompt"] :].startswith(b"\x1b]133;A\x07")


def test_times_are_noted_as_bytes_come(run: Run) -> None:
    before_ns = time.time_ns()
    session(run, ["/bin/sh", "-c", "echo one; sleep 0.4; echo two; sleep 0.4; echo three"])
    run.ended()
    noted = [record for record in records(run, "timing") if "size" not in record]
    at = {raw(run)[record["at"] :].split(b"\r\n")[0]: record["t"] for record in noted}
    assert before_ns <= at[b"one"] <= at[b"two"] - 0.3e9
    assert at[b"two"] <= at[b"three"] - 0.3e9


def test_a_shell_that_a_stranger_kills_is_failed_by_that_signal(run: Run) -> None:
    session(run, ["/bin/cat"])
    os.kill(run.wait(ev.Started).pid, signal.SIGKILL)
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "signal")


def test_a_command_that_cannot_start_is_told(run: Run) -> None:
    run.spec.update(kind="session", terminal={})
    run.start(["no-such-shell"])
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "start_failed")


def test_a_stopped_supervisor_only_delays(run: Run) -> None:
    session(run)
    with attached(run) as driver:
        driver.type(b"stty -echo; echo ready $((1+1))\r")
        run.wait_output("\nready 2")
        driver.type(b"seq 100000; echo all $((1+1))\r")
        os.kill(run.supervisor, signal.SIGSTOP)
        driver.type(b"echo typed meanwhile\r")
        time.sleep(1.0)
        os.kill(run.supervisor, signal.SIGCONT)
        run.wait_output("\ntyped meanwhile", timeout_s=30)
    lines = raw(run).split(b"\r\n")
    start = lines.index(b"2")  # a sequence of the shell's own stands before the 1
    assert lines[start : start + 99999] == [b"%d" % n for n in range(2, 100001)]


def test_an_idle_supervisor_of_a_session_does_nothing(run: Run) -> None:
    session(run)
    run.wait_output("ready>")
    with attached(run):
        time.sleep(1.5)  # what the start left to do
        first = process.read_stat(run.supervisor)
        time.sleep(3.0)
        second = process.read_stat(run.supervisor)
    assert first is not None
    assert second is not None
    assert second.cpu_ticks - first.cpu_ticks <= 2
    assert second.rss_bytes < 24 << 20


def test_end_json_of_a_session_holds_no_list_of_outputs(run: Run) -> None:
    run.working.joinpath("outputs").mkdir()
    run.working.joinpath("outputs", "mine").write_text("x")
    session(run, ["/bin/sh", "-c", "echo Traceback: error; echo y > outputs/mine"])
    ended = run.ended()
    assert ended.manifest == ""
    assert not Path(run.path, "manifest.json").exists()
    assert json.loads(run.path.joinpath("end.json").read_text())["outcome"] == "completed"
    assert not run.of(ev.Warned)


__all__ = ["attached", "kill", "raw", "records", "session", "wait_gone"]
