"""What is ingested is there once, whoever is killed, and again in an index that is made anew."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from outlast.errors import Unreachable
from outlast.run import events as ev
from outlast.run.folder import RunFolder
from outlast.run.manifest import Entry, made
from outlast.run.state import (
    COMPLETED,
    RUNNING,
    Commit,
    Enqueue,
    Finish,
    Release,
)
from outlast.store import manifests, runs, schema
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from tests.store.dying import die_at
from tests.store.folders import T_NS, Written, point
from tests.store.stored import row, snapshot, values


def test_two_ingesters_store_once(database_url: str, tmp_path: Path) -> None:
    """Two servers on one database by mistake: each point once, each instruction at one of them."""
    written = Written(tmp_path)
    databases = [Database.open(database_url) for _ in range(2)]
    instructions: list[Any] = []
    written.start()
    ended = threading.Event()

    def follow(database: Database) -> None:
        ingest = Ingest(database)
        while True:
            is_last = ended.is_set()
            try:
                instructions.extend(ingest.run(written.folder).instructions)
            except Unreachable:
                continue
            if is_last:
                return

    threads = [threading.Thread(target=follow, args=[one]) for one in databases]
    for thread in threads:
        thread.start()
    for first in range(0, 3000, 100):
        written.log(*(point("loss", i, i) for i in range(first, first + 100)))
    written.end()
    ended.set()
    for thread in threads:
        thread.join()
    assert values(databases[0], "run1", "loss") == [float(i) for i in range(3000)]
    assert sorted(map(str, instructions)) == sorted(
        map(str, [Enqueue(1), Release(), Finish(COMPLETED)])
    )
    for one in databases:
        one.close()


def ingest_and_be_killed(url: str, folder: str, left: int) -> None:
    """In a process of its own: kill -9 before the statement (or the commit) number `left`."""
    opened = Database.open(url)
    die_at(left, "commit")
    Ingest(opened).run(RunFolder(folder))


@pytest.mark.slow
def test_killed_at_any_statement_it_stores_everything_or_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    for statement in range(1, 60):
        written = Written(tmp_path, f"run{statement}")
        written.start()
        written.log_metric("loss", 3, 2, 1)
        written.log({"k": "list", "n": "l", "v": [1]}, {"k": "tag", "n": "a", "v": "b"})
        child = multiprocessing.get_context("fork").Process(
            target=ingest_and_be_killed, args=(url, written.folder.path, statement)
        )
        child.start()
        child.join()
        opened = Database.open(url)
        rows = {name for name, found in snapshot(opened).items() if found}
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        assert rows == {"alembic_version"}
        opened.close()  # SQLite must not be open across a fork
    assert statement > 8
    assert values(opened, written.spec.id, "loss") == [3, 2, 1]
    opened.close()


def test_an_answer_that_was_lost_at_the_commit_is_not_stored_twice(
    postgres_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit worked, its answer didn't arrive: unknown is resolved by the offsets."""
    opened = Database.open(postgres_cluster.create_database(f"lost_{os.getpid()}"))
    written = Written(tmp_path)
    written.start()
    written.log_metric("loss", 3, 2, 1)
    lost = 0
    write = Database.write

    @contextmanager
    def write_and_lose(self: Database) -> Iterator[Connection]:
        nonlocal lost
        with write(self) as connection:
            yield connection
        lost += 1
        if lost == 1:
            raise Unreachable("the connection was lost", is_disconnect=True)

    monkeypatch.setattr(Database, "write", write_and_lose)
    found = Ingest(opened).run(written.folder)
    assert lost == 2
    assert found.state.status == RUNNING
    assert found.instructions == (Enqueue(1),)
    assert values(opened, "run1", "loss") == [3, 2, 1]
    opened.close()


def test_a_change_between_reading_and_writing_is_not_lost(
    database: Database, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path)
    ingest.run(written.folder)
    written.log({"k": "tag", "n": "a", "v": "from the script", "t": 1})
    gather = Ingest._gather
    changed: list[Any] = []

    def gather_then_change(self: Ingest, folders: Any) -> Any:
        gathered = gather(self, folders)
        if not changed:
            with database.write() as connection:
                changed.append(runs.update(connection, "run1", tags={"b": "from a person"}))
        return gathered

    monkeypatch.setattr(Ingest, "_gather", gather_then_change)
    ingest.run(written.folder)
    assert row(database)["tags"] == {"a": "from the script", "b": "from a person"}


def test_an_index_made_anew_has_the_same_rows(
    database: Database, ingest: Ingest, tmp_path: Path
) -> None:
    """Deleting the database loses nothing that the folder holds, outputs included."""
    written = Written(tmp_path, tags={"a": "b"}, parameters={"lr": 1})
    written.start()
    written.log_metric("loss", 3, 2, 1)
    written.log({"k": "list", "n": "l", "v": [1]}, {"k": "tag", "n": "a", "v": "c"})
    entry = Entry("outputs/m.pt", 3, "a" * 64, 5, "outputs", "/work/outputs/m.pt")
    manifest = made("run1", 1, [entry], ["outputs/old"])
    Path(written.folder.file("manifest.json")).write_bytes(manifest.to_json())
    digest = manifest.digest()
    size = written.tell(
        ev.Exited(T_NS, 1, 0),
        ev.TreeEnded(T_NS, 1),
        ev.Ended(T_NS, 1, "completed", "", "", {}, digest),
    )
    assert Commit(digest) in ingest.run(written.folder).instructions
    with database.write() as connection:
        manifests.commit(connection, manifest, T_NS + 7)
    written.decide(ev.Committed(T_NS + 7, 1, digest, 1, 3), seen=size)
    assert ingest.run(written.folder).state.status == COMPLETED
    before = snapshot(database)
    with database.write() as connection:
        for table in schema.metadata.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(table.delete())
    assert ingest.run(written.folder).state.status == COMPLETED
    with database.read() as connection:
        assert manifests.load(connection, "run1") == manifest
    after = snapshot(database)
    changing = {"runs", "series"}  # keys and counters
    counts = {name: len(rows) for name, rows in before.items()}
    assert {name: len(rows) for name, rows in after.items()} == counts
    assert {name for name in before if name not in changing and counts[name]} >= {"manifest_files"}
