"""`python -m outlast.journal`: what a person sees of a run's folder, running or over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast.journal.line import pack
from outlast.journal.trim import trim
from outlast.journal.writer import Writer

COMMAND = [sys.executable, "-m", "outlast.journal"]
T_NS = 1_700_000_000_123_456_789
TIME = "2023-11-14T22:13:20.123Z"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events").write_bytes(pack({"k": "started", "t_ns": T_NS}) + pack({"k": "b"}))
    (tmp_path / "logged.7").write_bytes(pack({"k": "m", "n": "loss", "v": 0.5, "t": T_NS}))
    (tmp_path / "output").write_bytes("first\nécho \x1b[31mred\x07\r\nprompt:".encode())
    (tmp_path / "spec.json").write_text("{}")
    return tmp_path


def lines(shown: str) -> list[list[str]]:
    return [line.split(None, 3) for line in shown.splitlines()]


def test_every_journal_is_shown_with_time_name_and_offset(folder: Path) -> None:
    done = run("tail", folder)
    assert (done.returncode, done.stderr) == (0, "")
    first = len(pack({"k": "started", "t_ns": T_NS}))
    assert lines(done.stdout) == [
        [TIME, "events", "0", f'{{"k":"started","t_ns":{T_NS}}}'],
        ["-", "events", str(first), '{"k":"b"}'],
        [TIME, "logged.7", "0", f'{{"k":"m","n":"loss","v":0.5,"t":{T_NS}}}'],
        ["-", "output", "0", "first"],
        ["-", "output", "6", "écho \\x1b[31mred\\x07\\x0d"],
        ["-", "output", "23", "prompt:"],
    ]


def test_one_journal_from_an_offset(folder: Path) -> None:
    first = len(pack({"k": "started", "t_ns": T_NS}))
    done = run("tail", folder, "--journal", "events", "--from", first)
    assert lines(done.stdout) == [["-", "events", str(first), '{"k":"b"}']]


def test_raw_gives_the_bytes_as_they_are(folder: Path) -> None:
    command = [*COMMAND, "tail", str(folder), "--raw", "--journal", "output", "--from", "6"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.stdout == (folder / "output").read_bytes()[6:]


def test_nothing_in_a_record_acts_on_the_terminal(tmp_path: Path) -> None:
    from outlast.journal.line import pack_json

    hostile = "\x9b31m\u202egnp.exe\u2028".encode()
    (tmp_path / "events").write_bytes(pack_json(b'{"k":"' + hostile + b'\x1b]52;c;eA\x07"}'))
    shown = run("tail", tmp_path).stdout
    assert '{"k":"\\x9b31m\\u202egnp.exe\\u2028\\x1b]52;c;eA\\x07"}' in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e\u2028")


def test_damage_is_shown_where_it_is_and_a_torn_line_is_not(folder: Path) -> None:
    (folder / "events").write_bytes(b"garbage\n" + pack({"k": "b"}) + b'{"k":')
    done = run("tail", folder, "--journal", "events")
    assert lines(done.stdout) == [
        ["-", "events", "0", "(corrupt: 8 bytes)"],
        ["-", "events", "8", '{"k":"b"}'],
    ]


def test_what_was_trimmed_is_said(folder: Path) -> None:
    with (folder / "output").open("ab") as output:
        output.write(b"\n" * 10_000)
    trim(str(folder / "output"), 9000)
    assert "(bytes 0 to 9000 were trimmed away)" in run("tail", folder).stdout


def test_times_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    times = [10**30, -(10**30), True, "x", None]
    (tmp_path / "events").write_bytes(b"".join(pack({"t": value}) for value in times))
    done = run("tail", tmp_path)
    assert [line[0] for line in lines(done.stdout)] == ["-"] * 5, done.stderr


def test_mistakes_are_answered_without_a_traceback(folder: Path) -> None:
    for arguments, told in (
        (["tail", folder / "gone"], "No such file"),
        (["tail", folder / "events"], "Not a directory"),
        (["tail", folder, "--journal", "nope"], "it has: events, logged.7, output"),
        (["tail", folder, "--from", "5"], "--journal"),
        (["tail", folder, "--journal", "events", "--from", "-5"], "0 or more"),
        (["tail", folder, "--journal", "events", "--from", "5000"], "beyond the end"),
        (["tail", folder, "-f", "--journal", "../x"], "--journal"),
        (["verify", folder / "gone"], "No such file"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done
        assert told in done.stderr
        assert "Traceback" not in done.stderr


class Following:
    """`tail -f` as a process whose lines are awaited."""

    def __init__(self, *arguments: object) -> None:
        command = [*COMMAND, "tail", "-f", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert self.process.stdout is not None
        self.next: Callable[[], str] = self.process.stdout.readline

    def end(self) -> str:
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        with self.process.stderr:
            return self.process.stderr.read()


def test_following_shows_what_comes_also_in_journals_that_are_new(folder: Path) -> None:
    following = Following(folder)
    try:
        assert [following.next().split()[1] for _ in range(5)] == [
            *("events", "events", "logged.7", "output", "output")
        ]
        assert following.next().endswith("23 prompt:\n")  # shown although no newline came
        with Writer(str(folder / "events")) as writer:
            writer.append({"k": "more"})
            assert following.next().endswith('{"k":"more"}\n')
        with (folder / "output").open("ab") as output:
            output.write(b" yes\n")
        assert following.next().endswith("30  yes\n")
        with Writer(str(folder / "logged.8")) as writer:
            writer.append({"k": "hello"})
        assert "logged.8" in following.next()
    finally:
        told = following.end()
    assert told == ""
    assert following.process.returncode == -signal.SIGINT


def test_following_a_journal_that_comes_later(tmp_path: Path) -> None:
    following = Following(tmp_path, "--journal", "output", "--raw")
    try:
        (tmp_path / "output").write_bytes(b"here\n")
        assert following.next() == "here\n"
    finally:
        assert following.end() == ""


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    with Writer(str(tmp_path / "events")) as writer:
        for n in range(5000):
            writer.append({"n": n, "pad": "x" * 100})
    shown, write = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "tail", str(tmp_path)], stdout=write, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        os.close(write)
        os.read(shown, 100)
        os.close(shown)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == -signal.SIGPIPE


def test_verify_counts_and_tells_damage_by_its_exit_code(folder: Path) -> None:
    done = run("verify", folder)
    assert done.returncode == 0
    size = (folder / "events").stat().st_size
    assert done.stdout.splitlines() == [
        f"events: {size} bytes, 2 records",
        f"logged.7: {(folder / 'logged.7').stat().st_size} bytes, 1 record",
        "output: 30 bytes",
    ]

    with (folder / "events").open("ab") as events:
        events.write(b"garbage\n{torn")
    with (folder / "output").open("ab") as output:
        output.write(b"x" * 10_000)
    trim(str(folder / "output"), 9000)
    done = run("verify", folder)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"events: {size + 13} bytes, 2 records, corrupt {size} to {size + 8}, torn tail of 5 bytes",
        f"logged.7: {(folder / 'logged.7').stat().st_size} bytes, 1 record",
        "output: 10030 bytes, trimmed up to 9000",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_still_shows_everything(folder: Path, encoding: str) -> None:
    done = subprocess.run(
        [*COMMAND, "tail", str(folder)],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"cho " in done.stdout
