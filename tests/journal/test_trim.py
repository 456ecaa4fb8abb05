"""Retention: room is given back, offsets stay, and a reader is told what is gone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlast.errors import Corrupt, Invalid, JournalError, NotFound, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.line import pack
from outlast.journal.trim import first_offset, trim
from outlast.journal.writer import Writer


def fill(path: Path, count: int = 2000) -> list[int]:
    with Writer(str(path)) as writer:
        return [writer.append({"n": n, "pad": "x" * 20}) for n in range(count)]


def test_trimming_keeps_offsets_and_gives_room_back(tmp_path: Path) -> None:
    path = tmp_path / "events"
    ends = fill(path)
    before = path.stat()
    assert trim(str(path), ends[999]) == first_offset(str(path)) == ends[999]
    after = path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert before.st_blocks * 512 - after.st_blocks * 512 >= ends[999] - 2 * 4096
    batch = Cursor(str(path), ends[999]).read_records()
    assert (batch.records[0]["n"], len(batch.records), batch.corrupt) == (1000, 1000, [])
    with Writer(str(path)) as writer:
        assert writer.append({"n": 2000}) > ends[-1]


def test_a_reader_before_the_first_offset_is_told_and_can_go_on(tmp_path: Path) -> None:
    path = tmp_path / "events"
    ends = fill(path)
    cursor = Cursor(str(path), ends[9])
    trim(str(path), ends[999])
    for read in (cursor.read_bytes, cursor.read_lines, cursor.read_records):
        with pytest.raises(Trimmed) as caught:
            read()
        assert (caught.value.asked, caught.value.first) == (ends[9], ends[999])
    assert cursor.offset == ends[9]
    cursor.offset = caught.value.first
    assert cursor.read_records().records[0]["n"] == 1000


def test_what_is_trimmed_stays_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "events"
    ends = fill(path)
    trim(str(path), ends[999])
    assert trim(str(path), ends[9]) == ends[999]
    assert trim(str(path), 1 << 60) == ends[-1]
    with pytest.raises(Trimmed):
        Cursor(str(path)).read_bytes()
    assert Cursor(str(path), ends[-1]).read_bytes() == b""


def test_nothing_to_trim_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"")
    assert trim(str(path), 100) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["output"]
    with pytest.raises(NotFound):
        trim(str(tmp_path / "gone"), 1)
    with pytest.raises(Invalid):
        trim(str(path), -1)


def test_a_trim_that_died_before_the_hole_is_finished_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events"
    ends = fill(path)
    (tmp_path / "events.first").write_bytes(pack({"first": ends[999]}))
    blocks = path.stat().st_blocks
    assert trim(str(path), 0) == ends[999]
    assert path.stat().st_blocks < blocks


def test_where_holes_cannot_be_punched_nothing_is_trimmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, path: str, start: int, size_bytes: int) -> None:
        raise JournalError(os.strerror(errno.EOPNOTSUPP))

    path = tmp_path / "events"
    ends = fill(path)
    monkeypatch.setattr("outlast.journal.trim._punch", refuse)
    with pytest.raises(JournalError):
        trim(str(path), ends[999])
    assert first_offset(str(path)) == 0
    assert len(Cursor(str(path)).read_records(1 << 20).records) == 2000


def test_a_filesystem_without_holes_is_named_in_the_answer(tmp_path: Path) -> None:
    # ramfs keeps files but has no fallocate.
    room = tmp_path / "ram"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "ramfs", "ramfs", str(room)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"injector absent: ramfs can't be mounted ({mounted.stderr.decode().strip()})")
    try:
        ends = fill(room / "events")
        with pytest.raises(JournalError, match="can't give back") as caught:
            trim(str(room / "events"), ends[999])
        assert caught.value.hint
        assert [file.name for file in room.iterdir()] == ["events"]
    finally:
        subprocess.run(["umount", "-l", str(room)], check=True)


def test_a_damaged_first_offset_is_said(tmp_path: Path) -> None:
    path = tmp_path / "events"
    fill(path, 3)
    for content in (b"", b"123\n", pack({"first": -1}), pack({"first": "x"})):
        (tmp_path / "events.first").write_bytes(content)
        with pytest.raises(Corrupt):
            first_offset(str(path))
        with pytest.raises(Corrupt):
            Cursor(str(path)).read_records()


TRIM_FOR_EVER = """
import os, sys
from outlast.journal.trim import trim
path = sys.argv[1]
for upto in map(int, sys.stdin):
    trim(path, upto)
"""


@pytest.mark.slow
def test_a_reader_beside_a_trimmer_never_reads_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "events"
    ends = fill(path, 4000)
    trimming = subprocess.Popen(
        [sys.executable, "-c", TRIM_FOR_EVER, str(path)], stdin=subprocess.PIPE, text=True
    )
    assert trimming.stdin is not None
    trimming.stdin.write("".join(f"{end}\n" for end in ends[::40]))
    trimming.stdin.close()
    is_told = False
    offset = 0
    while trimming.poll() is None:
        with Cursor(str(path), offset) as cursor:
            try:
                batch = cursor.read_records(8192)
            except Trimmed as gap:
                is_told = True
                offset = gap.first  # which may be gone again at the next reading
                continue
        assert batch.corrupt == []
        assert batch.records[0]["n"] == (ends.index(offset) + 1 if offset else 0)
        offset = 0
    assert trimming.returncode == 0
    assert is_told
