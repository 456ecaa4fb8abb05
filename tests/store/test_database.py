"""Opening, transactions, and what each fault of a database turns into."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from outlast.errors import Conflict, Corrupt, DiskFull, Invalid, Unreachable
from outlast.store import database as database_module
from outlast.store import room, schema
from outlast.store.database import Database
from tests import postgres


def add(connection: Connection, key: int) -> None:
    connection.execute(schema.deletions.insert().values(run=key, id="x"))


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(
            sa.select(sa.func.count()).select_from(schema.deletions)
        ).scalar_one()


def test_a_block_that_raised_left_nothing(database: Database) -> None:
    def add_and_fail() -> None:
        with database.write() as connection:
            add(connection, 1)
            raise KeyError

    with pytest.raises(KeyError):
        add_and_fail()
    assert count(database) == 0
    with database.write() as connection:
        add(connection, 1)
    assert count(database) == 1


def test_a_reader_sees_one_moment(database: Database) -> None:
    with database.read() as reader:
        query = sa.select(sa.func.count()).select_from(schema.deletions)
        assert reader.execute(query).scalar_one() == 0
        with database.write() as connection:
            add(connection, 1)
        assert reader.execute(query).scalar_one() == 0
    assert count(database) == 1


def test_writers_wait_for_each_other(database: Database) -> None:
    def increase() -> None:
        for _ in range(20):
            with database.write() as connection:
                last = connection.execute(sa.select(sa.func.max(schema.deletions.c.run))).scalar()
                add(connection, (last or 0) + 1)

    threads = [threading.Thread(target=increase) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 80


def test_write_inside_write_is_refused_rather_than_waiting_for_ever(database: Database) -> None:
    with database.write(), pytest.raises(RuntimeError, match="inside"), database.write():
        pass
    with database.write() as connection:
        add(connection, 1)
    assert count(database) == 1


def test_opening_again_finds_the_rows(database_url: str) -> None:
    first = Database.open(database_url)
    with first.write() as connection:
        add(connection, 1)
    first.close()
    second = Database.open(database_url)
    assert count(second) == 1
    assert second.size_bytes() > 0
    second.close()


def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    opened = Database.open(database_url)
    with opened.write() as connection:
        connection.execute(schema.alembic_version.update().values(version_num="9999"))
    opened.close()
    with pytest.raises(Conflict, match="schema 9999, this Outlast knows up to") as caught:
        Database.open(database_url)
    assert "upgrade Outlast" in str(caught.value.hint)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    with opened.write() as connection:
        add(connection, 1)
    for name in ("x.db", "x.db-wal", "x.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    opened.close()


def test_a_commit_is_synced(tmp_path: Path) -> None:
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    with opened.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    opened.close()


@pytest.mark.parametrize(
    "url",
    ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/x", "nonsense"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Invalid, match="database = "):
        Database.open(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(Unreachable) as caught:
        Database.open("postgresql+psycopg://me:geheim@/x?host=/nowhere")
    assert "geheim" not in str(caught.value)
    assert "me:***@" in str(caught.value)


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"hello" * 1000)
    with pytest.raises(Corrupt, match="damaged") as caught:
        Database.open(f"sqlite:///{tmp_path}/x.db")
    assert "made anew from the run folders" in str(caught.value.hint)


def test_a_folder_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No such file"):
        Database.open(f"sqlite:///{tmp_path}/no/x.db")


def test_a_lock_held_by_another_process_is_unreachable_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.1)
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unreachable, match="another process"), opened.write():
        pass
    assert count(opened) == 0
    other.execute("ROLLBACK")
    with opened.write() as connection:
        add(connection, 1)
    assert count(opened) == 1
    other.close()
    opened.close()


def test_a_full_disk_writes_nothing_and_recovers(tmp_path: Path) -> None:
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    with opened.write() as connection:
        add(connection, 1)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull) as caught, opened.write() as connection:
        connection.execute(schema.deletions.insert().values(run=2, id="x" * 10_000_000))
    assert caught.value.hint
    assert count(opened) == 1
    with opened.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        add(connection, 3)
    assert count(opened) == 2
    opened.close()


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of 4 MB, or of so many."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={getattr(request, 'param', 4)}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("injector absent: mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_a_file_system_without_room_is_disk_full_and_recovers(small_disk: Path) -> None:
    opened = Database.open(f"sqlite:///{small_disk}/x.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (3 << 20))
    acknowledged: list[int] = []

    def fill() -> None:
        for key in range(100):
            with opened.write() as connection:
                connection.execute(schema.deletions.insert().values(run=key, id="x" * 50_000))
            acknowledged.append(key)

    with pytest.raises(DiskFull):
        fill()
    written = len(acknowledged)
    assert 0 < written < 100
    assert count(opened) == written
    ballast.unlink()
    with opened.write() as connection:
        add(connection, 1000)
    assert count(opened) == written + 1
    opened.close()


@pytest.mark.root
@pytest.mark.parametrize("small_disk", [48], indirect=True)
def test_a_full_file_system_takes_what_is_small(small_disk: Path) -> None:
    def insert(connection: Connection, first: int, runs: int, size: int) -> None:
        rows = [{"run": first + place, "id": "x" * size} for place in range(runs)]
        connection.execute(schema.deletions.insert(), rows)

    opened = Database.open(f"sqlite:///{small_disk}/x.db")
    for first in range(0, 300, 3):  # the newest pages are in the log alone
        opened.transact(partial(insert, first=first, runs=3, size=50_000))
    free_bytes = os.statvfs(small_disk).f_bavail * 4096
    (small_disk / "ballast").write_bytes(b"x" * free_bytes)
    for first in range(1000, 1200):
        opened.transact(partial(insert, first=first, runs=1, size=100))
    with pytest.raises(DiskFull):
        opened.transact(partial(insert, first=2000, runs=400, size=50_000))
    opened.transact(partial(insert, first=3000, runs=1, size=100))
    assert count(opened) == 300 + 200 + 1
    opened.close()


def test_after_an_io_error_at_commit_nothing_more_is_written(tmp_path: Path) -> None:
    """What a failed fsync has lost, a second one doesn't report."""
    strace = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if strace.returncode:
        pytest.skip("injector absent: strace can't trace here")
    code = """
import sys
from outlast.errors import Unreachable
from outlast.store import schema
from outlast.store.database import Database
database = Database.open(sys.argv[1])
def add(key):
    with database.write() as connection:
        connection.execute(schema.deletions.insert().values(run=key, id="x"))
try:
    for key in range(50): add(key)
except Unreachable as error:
    print("first", "IOERR" in str(error))
try:
    add(100)
except Unreachable as error:
    print("second", "nothing more is written" in str(error))
"""
    inject = "inject=fsync,fdatasync:error=EIO:when=12"
    found = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-c", code,
         f"sqlite:///{tmp_path}/x.db"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.split("\n")[:2] == ["first True", "second True"], found.stderr


def test_the_log_shrinks_when_its_reader_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOG_LIMIT_BYTES", 1 << 20)
    opened = Database.open(f"sqlite:///{tmp_path}/x.db")
    wal = tmp_path / "x.db-wal"
    with opened.read() as reader:
        reader.execute(sa.select(schema.deletions)).all()
        for key in range(8):
            with opened.write() as connection:
                connection.execute(schema.deletions.insert().values(run=key, id="x" * 500_000))
        assert wal.stat().st_size > 3 << 20
    with opened.write() as connection:
        add(connection, 100)
    assert wal.stat().st_size <= 1 << 20
    opened.close()


def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    code = """
import sys
from outlast.store import schema
from outlast.store.database import Database
database = Database.open(sys.argv[1])
for key in range(0, 1000000, 2):
    with database.write() as connection:
        for one in (key, key + 1):
            connection.execute(schema.deletions.insert().values(run=one, id="x"))
    print(key + 2, flush=True)
"""
    url = f"sqlite:///{tmp_path}/x.db"
    process = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(30):
        acknowledged = int(process.stdout.readline())
    process.kill()
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split("\n")[:-1])])
    process.wait()
    process.stdout.close()
    opened = Database.open(url)
    assert count(opened) % 2 == 0
    assert count(opened) >= acknowledged
    opened.close()


def test_opening_a_current_database_is_light(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    Database.open(url).close()
    code = (
        "import sys; from outlast.store.database import Database; Database.open(sys.argv[1]);"
        "print([name for name in ('alembic', 'psycopg', 'mako', 'asyncio') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() in ("[]", "['asyncio']")  # SQLAlchemy may bring asyncio


# --- PostgreSQL ---


@pytest.fixture
def own_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL that the test may kill."""
    if postgres.programs() is None:
        pytest.skip(postgres.ABSENT)
    cluster = postgres.Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.mark.slow
def test_a_killed_postgresql_is_unreachable_then_found_again(own_cluster: postgres.Cluster) -> None:
    opened = Database.open(own_cluster.url())
    with opened.write() as connection:
        add(connection, 1)
    own_cluster.kill()
    with pytest.raises(Unreachable), opened.write():
        pass
    with pytest.raises(Unreachable):
        count(opened)
    own_cluster.start()
    with opened.write() as connection:
        add(connection, 2)
    assert count(opened) == 2
    opened.close()


def test_a_transaction_whose_connection_was_cut_is_done_again(
    postgres_cluster: postgres.Cluster,
) -> None:
    opened = Database.open(postgres_cluster.create_database(f"cut_{os.getpid()}"))
    pids: list[int] = []

    def work(connection: Connection) -> None:
        pids.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        add(connection, 1)
        if len(pids) == 1:
            os.kill(pids[0], signal.SIGTERM)  # what pg_terminate_backend sends

    opened.transact(work)
    assert len(pids) == 2
    assert count(opened) == 1
    opened.close()


def test_a_read_only_postgresql_is_unreachable(postgres_cluster: postgres.Cluster) -> None:
    """As after a fail-over to a stand-by."""
    opened = Database.open(postgres_cluster.create_database(f"stand_by_{os.getpid()}"))

    def write_on_stand_by() -> None:
        with opened.write() as connection:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            add(connection, 1)

    with pytest.raises(Unreachable, match="doesn't serve now"):
        write_on_stand_by()
    with opened.write() as connection:
        add(connection, 1)
    assert count(opened) == 1
    opened.close()
