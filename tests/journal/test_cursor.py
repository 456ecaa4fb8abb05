"""Reading: every byte once, whole records only, and whatever is missing is said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.errors import Corrupt, Invalid, JournalError, NotFound
from outlast.journal.cursor import Cursor, follow, follow_bytes
from outlast.journal.line import MAX_LINE_BYTES, pack, parse
from outlast.journal.writer import Writer


def test_a_journal_that_does_not_exist_yet_reads_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "events"
    cursor = Cursor(str(path))
    assert cursor.read_bytes() == cursor.read_lines() == b""
    assert cursor.read_records() == ([], [], [], 0)
    assert cursor.size() == 0
    path.write_bytes(pack({"n": 1}))
    assert cursor.read_records().records == [{"n": 1}]


@given(
    sizes=st.lists(st.integers(0, 60), max_size=12),
    limits=st.lists(st.integers(1, 200), min_size=1, max_size=10),
)
@settings(max_examples=60, deadline=None)
def test_any_chunk_size_gives_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limits: list[int]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "events"
    records = [{"n": n, "pad": "x" * size} for n, size in enumerate(sizes)]
    lines = [pack(record) for record in records]
    path.write_bytes(b"".join(lines) + b'{"torn')
    with Cursor(str(path)) as cursor:
        got: list[dict[str, Any]] = []
        ends: list[int] = []
        for step in range(10_000):
            batch = cursor.read_records(limits[step % len(limits)])
            if not batch.records:
                break
            got += batch.records
            ends += batch.ends
            assert batch.offset == cursor.offset == ends[-1]
        assert got == records
        assert ends == [sum(map(len, lines[: n + 1])) for n in range(len(lines))]
        for start, record in zip([0, *ends], records, strict=False):
            cursor.offset = start  # each end is a place to begin
            assert cursor.read_records().records[0] == record


def test_bytes_are_read_in_pieces_and_once(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"0123456789")
    cursor = Cursor(str(path), 2)
    assert (cursor.read_bytes(3), cursor.offset) == (b"234", 5)
    assert (cursor.read_bytes(), cursor.offset) == (b"56789", 10)
    assert (cursor.read_bytes(), cursor.offset) == (b"", 10)
    with path.open("ab") as more:
        more.write(b"ab")
    assert (cursor.read_bytes(), cursor.size()) == (b"ab", 12)


def test_lines_come_whole(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"one\ntwo\nthr")
    cursor = Cursor(str(path))
    assert cursor.read_lines(6) == b"one\n"
    assert cursor.read_lines() == b"two\n"
    assert cursor.read_lines() == b""
    with path.open("ab") as more:
        more.write(b"ee\n")
    assert cursor.read_lines() == b"three\n"


def test_a_damaged_record_is_reported_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "events"
    lines = [pack({"n": n}) for n in range(3)]
    path.write_bytes(lines[0] + b"garbage\n" + lines[1] + lines[2])
    start = len(lines[0])
    cursor = Cursor(str(path), start)
    batch = cursor.read_records()
    assert batch.records == [{"n": 1}, {"n": 2}]
    assert batch.corrupt == [(start, start + 8)]
    assert batch.ends[0] == start + 8 + len(lines[1])


def test_a_right_checksum_on_what_is_not_json_is_reported(tmp_path: Path) -> None:
    from outlast.journal.line import pack_json

    path = tmp_path / "events"
    bad = pack_json(b'{"n" oops}')
    path.write_bytes(b"x\n" + bad + pack({"n": 1}) + b"x\n")
    batch = Cursor(str(path)).read_records()
    assert batch.records == [{"n": 1}]
    end = path.stat().st_size
    assert batch.corrupt == [(0, 2), (2, 2 + len(bad)), (end - 2, end)]


def test_a_line_longer_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events"
    record = {"pad": "x" * 100_000}
    path.write_bytes(pack({"n": 1}) + pack(record) + pack({"n": 2}))
    cursor = Cursor(str(path))
    read = [cursor.read_records(64).records for _ in range(3)]
    assert [record for batch in read for record in batch] == [{"n": 1}, record, {"n": 2}]


def test_an_endless_line_is_reported_and_not_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "logged.1"
    with path.open("wb") as journal:
        journal.truncate(MAX_LINE_BYTES * 2 + 5)  # zeros, as a hostile or broken writer leaves
        journal.seek(0, os.SEEK_END)
        journal.write(b"\n" + pack({"n": 1}))
    cursor = Cursor(str(path))
    corrupt: list[tuple[int, int]] = []
    records: list[dict[str, Any]] = []
    while cursor.offset < cursor.size():
        batch = cursor.read_records()
        corrupt += batch.corrupt
        records += batch.records
    assert records == [{"n": 1}]
    assert (corrupt[0][0], corrupt[-1][1]) == (0, MAX_LINE_BYTES * 2 + 6)
    assert all(left[1] == right[0] for left, right in pairwise(corrupt))


def test_a_journal_shorter_than_the_offset_is_never_taken_for_quiet(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack({"n": 1}))
    cursor = Cursor(str(path), 1000)
    for read in (cursor.read_bytes, cursor.read_records):
        with pytest.raises(Corrupt, match="beyond the end"):
            read()
    assert cursor.offset == 1000


def test_a_planted_link_or_pipe_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(JournalError):
            Cursor(str(tmp_path / name)).read_bytes()


def test_offsets_and_limits_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="offset"):
        Cursor(str(tmp_path / "events"), -1)
    with pytest.raises(Invalid, match="limit_bytes"):
        Cursor(str(tmp_path / "events")).read_bytes(0)


def test_a_closed_cursor_gives_its_descriptor_back(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Cursor(str(path)) as cursor:
        cursor.read_bytes()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


WRITE_MANY = """
import sys
from outlast.journal.writer import Writer
writer = Writer(sys.argv[1])
for n in range(int(sys.argv[2])):
    writer.append({"n": n, "pad": "x" * (n * 37 % 9000)})
"""


def test_a_reader_beside_a_writer_never_sees_half_a_record(tmp_path: Path) -> None:
    path = tmp_path / "events"
    count = 3000
    writing = subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(path), str(count)])
    seen: list[int] = []
    try:
        for batch in follow(str(path), stop=lambda: writing.poll() is not None, wait_s=0.05):
            assert batch.corrupt == []
            for record in batch.records:
                assert len(record["pad"]) == record["n"] * 37 % 9000
                seen.append(record["n"])
    finally:
        assert writing.wait(timeout=60) == 0
    assert seen == list(range(count))


def test_following_ends_after_what_was_written_before_stop(tmp_path: Path) -> None:
    path = tmp_path / "events"
    is_over = False

    def stop() -> bool:
        return is_over

    following = follow(str(path), stop=stop, wait_s=30)
    with Writer(str(path)) as writer:
        writer.append({"n": 1})
        assert next(following).records == [{"n": 1}]
        timer = threading.Timer(0.05, lambda: writer.append({"n": 2}))
        timer.start()
        assert next(following).records == [{"n": 2}]  # woken, long before wait_s
        timer.join()
        writer.append({"n": 3})
        is_over = True
        assert [batch.records for batch in following] == [[{"n": 3}]]


def test_bytes_are_followed_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"0123456789")
    assert b"".join(follow_bytes(str(path), 4, stop=lambda: True)) == b"456789"
    with pytest.raises(NotFound):
        next(follow_bytes(str(tmp_path / "gone" / "output"), stop=lambda: True))


def test_bodies_are_json_for_a_decoder_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack({"n": 1}) + pack({"n": 2}))
    found = Cursor(str(path)).read_bodies()
    assert [parse(body) for body in found.bodies] == [{"n": 1}, {"n": 2}]
    assert found.ends[-1] == found.offset == path.stat().st_size
