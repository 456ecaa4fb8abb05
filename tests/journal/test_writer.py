"""Appending: what returned is there, what failed left nothing, and threads don't mix lines."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from outlast.errors import DiskFull, JournalError, Sealed
from outlast.journal.cursor import Cursor
from outlast.journal.line import pack
from outlast.journal.writer import Writer


def records_in(path: Path) -> list[dict[str, object]]:
    batch = Cursor(str(path)).read_records()
    assert batch.corrupt == []
    return batch.records


def test_append_returns_the_offset_after_the_record(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Writer(str(path)) as writer:
        assert writer.offset == 0
        first = writer.append({"n": 1})
        second = writer.append_packed(pack({"n": 2}) + pack({"n": 3}))
        assert (first, second) == (len(pack({"n": 1})), path.stat().st_size)
        assert writer.offset == second
        assert writer.pid == os.getpid()
    assert [record["n"] for record in records_in(path)] == [1, 2, 3]


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Writer(str(path)) as writer:
        end = writer.append({"n": 1})
    with Writer(str(path)) as writer:
        assert writer.offset == end
        assert writer.append({"n": 2}) == path.stat().st_size


def test_only_the_owner_may_read_a_journal(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Writer(str(tmp_path / "events")).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "events").stat().st_mode) == 0o600


def test_a_planted_link_or_pipe_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "link").symlink_to("precious")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(JournalError):
            Writer(str(tmp_path / name))
    assert (tmp_path / "precious").read_text() == "keep me"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        Writer(str(tmp_path / "gone" / "events"))


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "events"))
    writer.close()
    writer.close()
    for refused in (lambda: writer.append({"n": 1}), writer.sync, lambda: writer.offset):
        with pytest.raises(Sealed, match="is closed"):
            refused()


def test_eight_threads_lose_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "logged.1"
    writer = Writer(str(path))
    ends: list[list[int]] = [[] for _ in range(8)]

    def work(thread: int) -> None:
        for n in range(500):
            ends[thread].append(writer.append({"thread": thread, "n": n, "pad": "x" * (n % 50)}))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    batch = Cursor(str(path)).read_records(limit_bytes=1 << 24)
    assert batch.corrupt == []
    for number in range(8):
        pairs = zip(batch.records, batch.ends, strict=True)
        mine = [(record["n"], end) for record, end in pairs if record["thread"] == number]
        assert mine == list(enumerate(ends[number]))


def test_a_signal_handler_may_append_while_its_thread_appends(tmp_path: Path) -> None:
    path = tmp_path / "logged.1"
    writer = Writer(str(path))
    rings = itertools.count(1)
    rung = 0

    def ring(number: int, frame: FrameType | None) -> None:
        # On a busy machine it is interrupted by itself; each still has a number of its own.
        nonlocal rung
        mine = next(rings)
        writer.append({"rung": mine})
        rung = max(rung, mine)

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    appended = 0
    try:
        while rung < 100:
            writer.append({"n": appended})
            appended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    writer.close()
    batch = Cursor(str(path)).read_records(limit_bytes=1 << 26)
    assert batch.corrupt == []
    assert [r["n"] for r in batch.records if "n" in r] == list(range(appended))
    assert sorted(r["rung"] for r in batch.records if "rung" in r) == list(range(1, rung + 1))


LIMITED = """
import resource, sys
from outlast.errors import DiskFull
from outlast.journal.writer import Writer
path, limit = sys.argv[1], int(sys.argv[2])
writer = Writer(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
end = 0
try:
    while True:
        end = writer.append({"k": "m", "v": end})
except DiskFull as error:
    assert "nothing was written" in error.message, error
    assert writer.offset == end
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append({"k": "after"})
writer.sync()
print(end)
"""


# 4096 is a page: then not one byte of the next line finds room (EFBIG instead of a short write).
@pytest.mark.parametrize("limit", [1000, 1001, 1024, 1031, 4096])
def test_at_the_file_size_limit_nothing_is_half_written(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "events"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    records = records_in(path)
    assert records.pop() == {"k": "after"}
    end = 0
    for record in records:
        assert record == {"k": "m", "v": end}
        end += len(pack(record))
    assert end == int(done.stdout)
    assert limit - end < len(pack({"k": "m", "v": end}))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 KiB and 16 files."""
    room = tmp_path / "small"
    room.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "tmpfs", str(room)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"injector absent: a small tmpfs can't be mounted ({mounted.stderr.strip()})")
    yield room
    subprocess.run(["umount", "-l", str(room)], check=True)


@pytest.mark.root
def test_on_a_full_disk_nothing_is_half_written_and_the_writer_goes_on(small_disk: Path) -> None:
    path = small_disk / "events"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 16384)
    with Writer(str(path)) as writer:
        appended = 0

        def fill() -> None:
            nonlocal appended
            while True:
                writer.append({"n": appended})
                appended += 1

        with pytest.raises(DiskFull, match="nothing was written"):
            fill()
        assert path.read_bytes().endswith(b"\n")
        with pytest.raises(DiskFull):
            writer.append({"s": "x" * 9000})
        ballast.unlink()
        writer.append({"n": appended})
        writer.sync()
    assert [record["n"] for record in records_in(path)] == list(range(appended + 1))


@pytest.mark.root
def test_no_room_for_a_new_journal_is_said(small_disk: Path) -> None:
    def make_too_many() -> None:
        for number in range(17):
            Writer(str(small_disk / f"logged.{number}")).close()

    with pytest.raises(DiskFull, match="No space"):
        make_too_many()


def test_a_sync_that_failed_is_never_taken_for_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = Writer(str(tmp_path / "events"))
    writer.append({"n": 1})
    with monkeypatch.context() as patch:
        patch.setattr("outlast.journal.writer._sync_data", refuse)
        with pytest.raises(JournalError, match="could not be written to the disk"):
            writer.sync()
    for again in (writer.sync, lambda: writer.append({"n": 2})):
        with pytest.raises(Sealed, match="disk refused"):
            again()


def test_a_descriptor_closed_behind_its_back_seals_the_writer(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "events"))
    os.close(writer._fd)
    for _ in range(2):
        with pytest.raises(Sealed, match="Bad file descriptor"):
            writer.append({"n": 1})


FORK_WHILE_APPENDING = """
import os, sys, threading
from outlast.journal.writer import Writer
writer = Writer(sys.argv[1])
held, forked = threading.Event(), threading.Event()
def hold():
    with writer._lock:
        held.set()
        forked.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    writer.close()
    os._exit(7)
forked.set()
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
writer.append({"still": "open"})
"""


def test_a_forked_child_can_close_what_a_thread_of_its_parent_was_using(tmp_path: Path) -> None:
    path = tmp_path / "logged.1"
    command = [sys.executable, "-c", FORK_WHILE_APPENDING, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert records_in(path) == [{"still": "open"}]


def test_importing_the_writer_costs_few_modules() -> None:
    code = (
        "import sys, json, os, zlib, outlast.errors; before = set(sys.modules);"
        "import outlast.journal.writer; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = done.stdout.split()
    assert len(added) <= 10, added
    assert not {"ctypes", "threading", "logging", "asyncio", "pathlib"} & set(added)


def test_the_limit_on_file_size_is_not_deadly_here() -> None:
    # Python ignores SIGXFSZ; if it ever stops, a full quota would kill the training script.
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
