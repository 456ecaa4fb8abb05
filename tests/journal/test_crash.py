"""Every crash point of append: whatever instant the process or the machine dies at, what is left
is a prefix of what was appended, and the next writer goes on behind it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outlast.journal.cursor import Cursor
from outlast.journal.line import pack
from outlast.journal.trim import trim
from outlast.journal.writer import Writer

RECORDS: list[dict[str, Any]] = [
    {"n": 0},
    {"n": 1, "text": "two words, \u00e9\n"},
    {"n": 2, "v": [1.5, None, {"a": {}}]},
]


def test_a_write_cut_after_any_byte_leaves_a_prefix(tmp_path: Path) -> None:
    lines = [pack(record) for record in RECORDS]
    whole = b"".join(lines)
    path = tmp_path / "events"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        cursor = Cursor(str(path))
        assert cursor.read_records().records == RECORDS[:kept]  # the torn line isn't a record

        with Writer(str(path)) as writer:
            assert writer.offset == len(b"".join(lines[:kept]))
            writer.append({"after": cut})
        batch = cursor.read_records()  # the same cursor, across the repair
        assert (batch.records, batch.corrupt) == ([{"after": cut}], [])
        again = Cursor(str(path)).read_records()
        assert (again.records, again.corrupt) == ([*RECORDS[:kept], {"after": cut}], [])
        cursor.close()


def test_a_torn_line_longer_than_a_scan_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "events"
    line = pack({"n": 1})
    for torn in (1, 65_535, 65_536, 65_537, 300_000):
        path.write_bytes(line + b"x" * torn)
        with Writer(str(path)) as writer:
            assert writer.offset == len(line)
        path.write_bytes(b"x" * torn)
        with Writer(str(path)) as writer:
            assert writer.offset == 0


def test_cutting_a_torn_line_stops_at_what_was_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "events"
    line = pack({"pad": "x" * (4096 - len(pack({"pad": ""})))})
    path.write_bytes(line * 2 + b'{"torn')
    assert trim(str(path), 8192) == 8192
    with Writer(str(path)) as writer:
        assert writer.offset == 8192
        writer.append({"n": 1})
    assert Cursor(str(path), 8192).read_records().records == [{"n": 1}]


def test_a_flipped_byte_costs_only_the_record_it_is_in(tmp_path: Path) -> None:
    lines = [pack({"n": n, "inner": {"v": n / 3}}) for n in range(6)]
    whole = b"".join(lines)
    path = tmp_path / "events"
    start, struck = 0, 0
    for at in range(len(whole)):
        if at >= start + len(lines[struck]):
            start += len(lines[struck])
            struck += 1
        for flip in (0x01, 0x20, 0x80, whole[at] ^ 0x0A):  # the last makes it a newline
            if not flip:
                continue
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            with Cursor(str(path)) as cursor:
                batch = cursor.read_records()
                if struck == 5 and at == len(whole) - 1:  # no newline at the end: a torn line
                    assert (len(batch.records), batch.corrupt) == (5, [])
                    continue
            assert [r["n"] for r in batch.records] == [n for n in range(6) if n != struck]
            assert batch.corrupt == [(start, start + len(lines[struck]))]


APPENDER = """
import sys
from outlast.journal.writer import Writer
writer = Writer(sys.argv[1])
for n in range(6):
    end = writer.append({"n": n, "pad": "x" * 20})
    if n % 2:
        writer.sync()
    print(n, end, flush=True)
"""


def _strace_works(folder: Path) -> bool:
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-o", "/dev/null", "-P", str(folder / "probe"), "-e"]
    probe += ["inject=write:signal=KILL:when=1", sys.executable, "-c"]
    probe += [f"open({str(folder / 'probe')!r}, 'w').write('x')"]
    return subprocess.run(probe, capture_output=True).returncode in (-9, 137)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_killed_at_each_write_and_sync_what_was_acknowledged_is_there(
    tmp_path: Path, call: str
) -> None:
    if not _strace_works(tmp_path):
        pytest.skip("injector absent: strace can't inject signals here")
    survived = False
    for when in range(1, 12):
        path = tmp_path / f"events.{when}"
        path.touch()
        command = ["strace", "-o", "/dev/null", "-P", str(path)]
        command += ["-e", f"inject={call}:signal=KILL:when={when}", sys.executable, "-c", APPENDER]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=60)
        survived = done.returncode == 0
        acknowledged = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        batch = Cursor(str(path)).read_records()
        assert batch.corrupt == []
        assert [r["n"] for r in batch.records] == list(range(len(batch.records)))
        assert list(enumerate(batch.ends))[: len(acknowledged)] == acknowledged
        assert len(batch.records) - len(acknowledged) in (0, 1)
        with Writer(str(path)) as writer:
            assert writer.offset == batch.offset
        if survived:
            break
    assert survived, f"more calls of {call} than expected"
    assert when == (7 if call == "write" else 4)  # six writes, three syncs: each was a crash point


FAILING_SYNC = """
import sys
from outlast.errors import JournalError, Sealed
from outlast.journal.writer import Writer
writer = Writer(sys.argv[1])
writer.append({"n": 1})
try:
    writer.sync()
except Sealed:
    raise
except JournalError as error:
    print(error)
try:
    writer.sync()
except Sealed:
    print("sealed")
"""


@pytest.mark.slow
def test_an_error_of_the_disk_at_sync_seals_the_writer(tmp_path: Path) -> None:
    if not _strace_works(tmp_path):
        pytest.skip("injector absent: strace can't inject errors here")
    path = tmp_path / "events"
    command = ["strace", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1"]
    done = subprocess.run(
        [*command, sys.executable, "-c", FAILING_SYNC, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Input/output error" in done.stdout
    assert done.stdout.endswith("sealed\n")
