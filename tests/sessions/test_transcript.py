"""Pages, searches, commands and exports of what a session printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.errors import Invalid
from outlast.journal.line import pack
from outlast.journal.trim import trim
from outlast.run.folder import COMMANDS, OUTPUT, TIMING, RunFolder
from outlast.run.spec import RunSpec, Terminal
from outlast.sessions import transcript
from outlast.sessions.plain import Plainer, plain

S = 1_000_000_000
SPEC = RunSpec("r1", kind="session", terminal=Terminal(80, 24), created_ns=5 * S, command=("cat",))


def folder_with(
    tmp_path: Path, output: bytes, timing: list[dict[str, Any]] = [],  # noqa: B006
    commands: list[dict[str, Any]] = [],  # noqa: B006
) -> RunFolder:  # fmt: skip
    folder = RunFolder(str(tmp_path))
    Path(folder.file(OUTPUT)).write_bytes(output)
    Path(folder.file(TIMING)).write_bytes(b"".join(map(pack, timing)))
    Path(folder.file(COMMANDS)).write_bytes(b"".join(map(pack, commands)))
    return folder


# --- plain text ---


@pytest.mark.parametrize(
    ("drawn", "text"),
    [
        (b"plain\n", b"plain\n"),
        (b"\x1b[1;31mred\x1b[0m\r\n", b"red\n"),
        (b"\x1b]0;title\x07$ ls\r\n", b"$ ls\n"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\r\n", b"link\n"),
        (b" 10%\r 50%\r100%\r\n", b"100%\n"),
        (b"lo\bok\r\n", b"lok\n"),
        ("tür\b\b".encode(), b"t"),
        (b"\x1bP1$r0m\x1b\\after\x1b(B\r\n", b"after\n"),
        (b"bell\x07 nul\x00\r\n", b"bell nul\n"),
        (b"\x1b[?1049h\x1b[Hfull\x1b[K\r\n", b"full\n"),
    ],
)
def test_text_is_what_a_person_would_copy(drawn: bytes, text: bytes) -> None:
    assert plain(drawn) == text


@given(st.lists(st.sampled_from([b"a", b"\x1b[1m", b"\x1b]0;t\x07", b"\r\n", b"\r", b"\xc3\xa4"])),
       st.integers(1, 7))  # fmt: skip
def test_however_it_is_cut_up_the_text_is_the_same(words: list[bytes], size: int) -> None:
    data = b"".join(words) + b"\n"
    plainer = Plainer()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"".join([*map(plainer.feed, pieces), plainer.rest()]) == plain(data)


# --- pages ---


def test_pages_lead_through_all_of_it_forwards_and_backwards(tmp_path: Path) -> None:
    output = b"".join(b"line %04d\r\n" % n for n in range(1000))
    folder = folder_with(tmp_path, output)
    forwards, at = b"", 0
    while at < len(output):
        page = transcript.page(folder, at, 777, raw=True)
        forwards, at = forwards + page.data, page.next
    assert forwards == output
    backwards, before = b"", len(output)
    while before > 0:
        page = transcript.page(folder, 0, 777, before=before, raw=True)
        assert page.data.startswith(b"line")
        backwards, before = page.data + backwards, page.start
    assert backwards == output


def test_a_page_begins_where_retention_has_got_to(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b"x" * 9000 + b"kept")
    trim(folder.file(OUTPUT), 9000)
    page = transcript.page(folder, 0, 100)
    assert (page.data, page.start, page.first, page.end) == (b"kept", 9000, 9000, 9004)


def test_a_place_beyond_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        transcript.page(folder_with(tmp_path, b"abc"), 4, 100)


# --- search ---


def test_a_search_finds_lines_with_their_place_and_time(tmp_path: Path) -> None:
    output = b"first\r\n\x1b[31mEr\x1b[1mror\x1b[0m: one\r\nlast error\r\n"
    timing = [{"at": 0, "t": 1 * S}, {"at": 7, "t": 2 * S}, {"at": 40, "t": 3 * S}]
    folder = folder_with(tmp_path, output, timing)
    found = transcript.search(folder, "error", 0, 10)
    assert [(hit.at, hit.line) for hit in found.hits] == [(7, "Error: one"), (32, "last error")]
    assert found.hits[0].t_ns == 2 * S
    assert found.next == found.end == len(output)
    assert [hit.line for hit in transcript.search(folder, "Error", 0, 10).hits] == ["Error: one"]
    first = transcript.search(folder, "error", 0, 1)
    assert [hit.at for hit in transcript.search(folder, "error", first.next, 9).hits] == [32]
    with pytest.raises(Invalid):
        transcript.search(folder, "  ", 0, 10)


def test_a_search_over_pieces_misses_nothing_at_their_seams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "PIECE_BYTES", 64)
    output = b"".join(b"needle %d\r\n" % n for n in range(200)) + b"n" * 500 + b"needle end"
    folder = folder_with(tmp_path, output)
    assert len(transcript.search(folder, "needle", 0, 1000).hits) == 201


# --- commands ---


def test_commands_have_their_end_once_it_was_told(tmp_path: Path) -> None:
    commands = [
        {"k": "start", "at": 10, "t": 1 * S, "command": "make", "cwd": "/src", "prompt": 2},
        {"k": "end", "at": 50, "t": 4 * S, "code": 2},
        {"k": "start", "at": 60, "t": 5 * S, "command": "exec sh", "cwd": "/src", "prompt": 55},
        {"k": "start", "at": 70, "t": 6 * S, "command": "train", "cwd": "/src", "prompt": 65},
    ]
    folder = folder_with(tmp_path, b"", commands=commands)
    made, lost, runs = transcript.commands(folder)
    assert (made.command, made.cwd, made.exit_code) == ("make", "/src", 2)
    assert (made.at, made.end, made.prompt) == (10, 50, 2)
    assert (made.start_ns, made.end_ns) == (1 * S, 4 * S)
    assert (lost.number, lost.end_ns) == (2, 0)
    assert (runs.command, runs.end_ns, runs.exit_code) == ("train", 0, None)
    assert transcript.commands(folder, after=2) == [runs]
    assert transcript.commands(folder, limit=1) == [made]


# --- exports ---


def test_an_asciicast_replays_the_output_with_its_times_and_sizes(tmp_path: Path) -> None:
    output = b"one\r\n" + "zwö".encode() + b"\r\nthree\r\n"
    timing: list[dict[str, Any]] = [
        {"at": 0, "t": 10 * S, "size": [100, 30]},
        {"at": 0, "t": 11 * S},
        {"at": 7, "t": 12 * S},  # in the midst of a character's bytes
        {"at": 8, "t": 12 * S + S // 2, "size": [120, 40]},
        {"at": 11, "t": 14 * S},
    ]
    commands = [{"k": "start", "at": 5, "t": 11 * S + S // 2, "command": "two", "cwd": "/"}]
    folder = folder_with(tmp_path, output, timing, commands)
    lines = b"".join(transcript.as_asciicast(folder, SPEC, exit_code=3, title="t")).splitlines()
    header, *events = [json.loads(line) for line in lines]
    assert header["version"] == 3
    assert header["term"] == {"cols": 100, "rows": 30, "type": "xterm-256color"}
    assert (header["timestamp"], header["title"]) == (10, "t")
    assert "".join(text for _, kind, text in events if kind == "o") == output.decode()
    assert [(kind, text) for _, kind, text in events if kind != "o"] == [
        ("m", "two"), ("r", "120x40"), ("x", "3"),
    ]  # fmt: skip
    assert sum(interval for interval, *_ in events) == pytest.approx(4.0)
    assert all(interval >= 0 for interval, *_ in events)


def test_what_a_full_disk_lost_is_left_out(tmp_path: Path) -> None:
    output = b"kept\r\n" + b"\0" * 5000 + b"later\r\n"
    timing = [{"at": 5006, "t": 2 * S, "gap": [6, 5006], "why": "the disk was full"}]
    folder = folder_with(tmp_path, output, timing)
    assert b"".join(transcript.as_text(folder)) == b"kept\nlater\n"


def test_the_text_has_no_escapes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b"\x1b[32m$ \x1b[0mls\r\nabc")
    assert b"".join(transcript.as_text(folder)) == b"$ ls\nabc"
