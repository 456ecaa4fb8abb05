"""Which outputs are stored, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.errors import Conflict, NotFound
from outlast.run.manifest import Entry, made
from outlast.store import deletion, manifests
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from tests.store.folders import Written


def entry(path: str = "outputs/m.pt", content: str = "a", mtime_ns: int = 5) -> Entry:
    return Entry(path, 3, content * 64, mtime_ns, "outputs", f"/work/{path}")


@pytest.fixture
def two_runs(database: Database, tmp_path: Path) -> Database:
    for name in ("one", "two"):
        written = Written(tmp_path, name)
        written.start()
        written.end()
        Ingest(database).run(written.folder)
    return database


def test_a_manifest_comes_back_as_it_was(two_runs: Database) -> None:
    names = [
        "outputs/é.txt",
        "outputs/100%.txt",
        "outputs/%41",
        "outputs/raw-\udcff\udc80",
        "plain",
    ]
    stored = made("one", 1, [entry(name) for name in names], ["outputs/old-\udcfe"])
    with two_runs.write() as connection:
        assert manifests.load(connection, "one") is None
        assert manifests.files_of(connection, "one") == []
        assert manifests.commit(connection, stored, 7)
    with two_runs.read() as connection:
        found = manifests.load(connection, "one")
        assert found is not None
        assert set(found.entries) == set(stored.entries)
        assert found.foreign == stored.foreign
        assert found.digest() == stored.digest()


def test_committing_twice_is_once_and_another_content_is_refused(two_runs: Database) -> None:
    with two_runs.write() as connection:
        assert manifests.commit(connection, made("one", 1, [entry()]), 7)
        assert not manifests.commit(connection, made("one", 1, [entry()]), 8)
        with pytest.raises(Conflict, match="attempt 1 of run one"):
            manifests.commit(connection, made("one", 1, [entry(content="b")]), 9)
        assert manifests.commit(connection, made("one", 2, [entry(content="b")]), 9)
        assert [one.sha256 for one in manifests.files_of(connection, "one")] == ["b" * 64]
        first = manifests.load(connection, "one", attempt=1)
        assert first is not None
        assert first.entries[0].sha256 == "a" * 64
        with pytest.raises(NotFound):
            manifests.commit(connection, made("none", 1, [entry()]), 7)


def test_contents_are_those_that_some_run_has(two_runs: Database) -> None:
    with two_runs.write() as connection:
        manifests.commit(connection, made("one", 1, [entry(), entry("x", "b")]), 7)
        manifests.commit(connection, made("two", 1, [entry()]), 7)
        assert set(manifests.contents(connection)) == {"a" * 64, "b" * 64}
    deletion.delete(two_runs, "one")
    with two_runs.read() as connection:
        assert set(manifests.contents(connection)) == {"a" * 64}
