"""Marks of the shell in a stream, however it is cut up and whoever wrote it."""

from __future__ import annotations

import itertools
import os
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.supervisor.marks import Commands, Mark, Parser

STREAM = (
    b"\x1b]7;file://host/home/ada/my%20work\x07\x1b]133;A\x07$ \x1b]133;B\x07make\r\n"
    b"\x1b]633;E;make \\x3b echo \\\\n;nonce\x07\x1b]133;C\x07building\x1b[1mbold\x1b[m\r\n"
    b"\x1b]0;a title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"
    b"\x1b]133;D;2\x1b\\\x1b]133;A\x07$ "
)


def found(pieces: list[bytes], offset: int = 0) -> list[Mark]:
    parser, marks = Parser(), []
    for piece in pieces:
        marks += parser.feed(offset, piece)
        offset += len(piece)
    return marks


def told(stream: bytes, **state: Any) -> list[dict[str, Any]]:
    return Commands(**state).told(found([stream]), 7)


def test_the_commands_of_a_stream() -> None:
    start, end = told(STREAM)
    assert start == {
        "k": "start",
        "at": STREAM.index(b"building"),
        "t": 7,
        "command": "make ; echo \\n",
        "cwd": "/home/ada/my work",
        "prompt": STREAM.index(b"\x1b]133;A"),
    }
    assert end["k"] == "end"
    assert end["code"] == 2
    assert STREAM[: end["at"]].endswith(b"D;2\x1b\\")


@given(st.lists(st.integers(0, len(STREAM)), max_size=30), st.integers(0, 1 << 60))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int], offset: int) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert found(pieces, offset) == found([STREAM], offset)


def test_byte_by_byte_is_the_same() -> None:
    assert found([bytes([byte]) for byte in STREAM]) == found([STREAM])


PARTS = (
    b"\x1b", b"]", b"133;", b"633;", b"7;", b"C", b"D;1", b"\x07", b"\\", b"E;x", b"\x9c",
    b"P;Cwd=",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=60))
def test_no_bytes_whatever_raise_and_cuts_never_matter(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    marks = found(parts)
    assert marks == found([stream])
    for mark in marks:
        assert stream[mark.start : mark.end].startswith(b"\x1b]" + mark.text)
    Commands().told(marks, 1)


@pytest.mark.parametrize(
    ("value", "cwd"),
    [
        (b"7;file://h/a%2Fb", "/a/b"),
        (b"7;file:///tmp", "/tmp"),
        (b"7;kitty-shell-cwd://h/tmp", ""),
        (b"7;file://h/%ff%zz", "/\ufffd%zz"),
        (b"633;P;Cwd=/a\\x3bb", "/a;b"),
        (b"633;P;Cwd=/c\\\\x41", "/c\\x41"),
    ],
)
def test_the_folder_is_read(value: bytes, cwd: str) -> None:
    commands = Commands()
    commands.told(found([b"\x1b]" + value + b"\x07"]), 1)
    assert commands.cwd == cwd


def test_fish_tells_the_command_with_its_start() -> None:
    (start,) = told(b"\x1b]133;C;cmdline_url=echo%20%C3%BC\x07")
    assert start["command"] == "echo ü"


@pytest.mark.parametrize(
    ("code", "read"), [(b";0", 0), (b";130;aid=1", 130), (b"", None), (b";", None), (b";-1", None)]
)
def test_exit_codes(code: bytes, read: int | None) -> None:
    (end,) = told(b"\x1b]133;D" + code + b"\x07", is_running=True)
    assert end["code"] == read


def test_an_end_without_a_start_and_a_second_start_are_no_commands() -> None:
    assert told(b"\x1b]133;D;0\x07") == []
    assert [record["k"] for record in told(b"\x1b]133;C\x07" * 3)] == ["start"]


def test_what_was_told_before_a_takeover_is_not_told_again() -> None:
    start, end = told(STREAM)
    assert told(STREAM, after=start["at"], is_running=True) == [end]
    assert told(STREAM, after=end["at"]) == []


def test_a_hostile_stream_costs_little_memory_and_time() -> None:
    endless = b"\x1b]633;E;" + os.urandom(1 << 20).replace(b"\x1b", b"").replace(b"\x07", b"")
    swarm = b"\x1b]133;C\x07\x1b]133;D\x07" * 10_000
    openers = b"\x1b]133;" * 40_000
    parser, commands = Parser(), Commands()
    offset = 0
    tracemalloc.start()
    began_s = time.process_time()
    for stream in (endless, swarm, openers, endless):
        for start in range(0, len(stream), 1 << 16):
            piece = stream[start : start + (1 << 16)]
            commands.told(parser.feed(offset, piece), 1)
            offset += len(piece)
    spent_s = time.process_time() - began_s
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 256 << 10
    assert spent_s < 10  # 0.1 s on a free machine


def test_a_mark_after_an_endless_one_is_found() -> None:
    parser = Parser()
    parser.feed(0, b"\x1b]633;E;" + b"x" * (200 << 10))
    marks = parser.feed(300 << 10, b"y" * 100 + b"\x1b]133;A\x07")
    assert [mark.text for mark in marks] == [b"133;A"]
