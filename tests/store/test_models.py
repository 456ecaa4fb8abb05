"""Models in the index: numbers without gaps, one version an intent, aliases, tombstones."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from outlast.errors import Conflict, Invalid, NotFound
from outlast.store import audit, deletion, models, registrations, runs
from outlast.store.database import Database
from outlast.store.ingest import Ingest
from outlast.store.models import File, Lineage, New
from outlast.store.numbered import Labels
from outlast.store.registrations import DONE, FAILED, WAITING
from tests.store.folders import T_NS, Written

SHA = "ab" * 32
OTHER = "cd" * 32


def made(database: Database, name: str = "digits", **more: object) -> models.Version:
    new = New(name, [File("model.pkl", 3, SHA)], "ada", **more)  # type: ignore[arg-type]
    return database.transact(lambda connection: models.register(connection, new, T_NS))


def asked(path: str = "outputs/model.pkl", **more: object) -> dict[str, object]:
    return {"k": "register", "n": "digits", "path": path, "attempt": 1, "t": T_NS, **more}


def test_versions_count_from_one_by_name(database: Database) -> None:
    assert [made(database).version, made(database).version] == [1, 2]
    assert made(database, "letters").version == 1


def test_numbers_have_no_gaps_when_many_register_at_once(database: Database) -> None:
    found: list[int] = []

    def register() -> None:
        found.extend(made(database).version for _ in range(5))

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 21))


def test_two_processes_never_get_the_same_number(database_url: str) -> None:
    databases = [Database.open(database_url) for _ in range(2)]
    found: list[int] = []

    def register(database: Database) -> None:
        found.extend(made(database).version for _ in range(5))

    threads = [threading.Thread(target=register, args=(one,)) for one in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in databases:
        one.close()
    assert sorted(found) == list(range(1, 11))


def test_a_registration_that_fails_uses_no_number(database: Database) -> None:
    def broken(connection: sa.Connection) -> None:
        models.register(connection, New("digits", [File("a", 1, SHA)], "ada"), T_NS)
        raise RuntimeError("the server was killed")

    with pytest.raises(RuntimeError):
        database.transact(broken)
    assert made(database).version == 1


def test_the_same_intent_makes_one_version(database: Database) -> None:
    first = made(database, intent="run1/logged.1/80")
    assert made(database, intent="run1/logged.1/80") == first
    assert made(database).version == 2
    with pytest.raises(Conflict, match="digits:1"):
        made(database, "letters", intent="run1/logged.1/80")


def test_a_version_is_found_by_number_alias_and_latest(database: Database) -> None:
    made(database, tags={"team": "a"}, description="first")
    made(database, lineage=Lineage("run1", 2, "digest", "outputs/model.pkl"))
    with database.write() as connection:
        models.set_alias(connection, "digits", "production", "1")
    with database.read() as connection:
        assert models.get(connection, "digits").version == 2
        found = models.get(connection, "digits", "production")
        assert (found.version, found.aliases, found.tags) == (1, ("production",), {"team": "a"})
        assert models.get(connection, "digits", "2").lineage == Lineage(
            "run1", 2, "digest", "outputs/model.pkl"
        )
        assert models.files_of(connection, "digits", 1) == [File("model.pkl", 3, SHA)]
        assert [one.version for one in models.versions(connection, "digits")] == [2, 1]
        assert [one.version for one in models.of_run(connection, "run1")] == [2]
        for reference in ("3", "staging", ""):
            with pytest.raises(NotFound):
                models.get(connection, "digits", reference)
        with pytest.raises(NotFound):
            models.versions(connection, "letters")


def test_an_alias_names_one_version_and_moves(database: Database) -> None:
    made(database)
    made(database)
    with database.write() as connection:
        models.set_alias(connection, "digits", "production", "1")
        assert models.set_alias(connection, "digits", "production", "2").aliases == ("production",)
        assert models.get(connection, "digits", "1").aliases == ()
        models.drop_alias(connection, "digits", "production")
        with pytest.raises(NotFound):
            models.drop_alias(connection, "digits", "production")
        for wrong in ("latest", "1", "a b", ""):
            with pytest.raises(Invalid):
                models.set_alias(connection, "digits", wrong, "1")


def test_a_deleted_version_keeps_its_number_and_loses_its_files(database: Database) -> None:
    made(database)
    made(database)
    with database.write() as connection:
        models.set_alias(connection, "digits", "production", "2")
        models.delete(connection, "digits", "2", T_NS)
        assert models.get(connection, "digits").version == 1
        with pytest.raises(NotFound, match="was deleted"):
            models.get(connection, "digits", "2")
        with pytest.raises(NotFound):
            models.get(connection, "digits", "production")
        assert list(models.contents(connection)) == [SHA]
    assert made(database).version == 3


def test_models_are_listed_by_name_page_by_page(database: Database) -> None:
    for name in ("b", "a", "c", "b"):
        made(database, name)
    with database.read() as connection:
        listed = [(n, one.name) for n, one in models.newest_of_each(connection, limit=2)]
        assert listed == [(1, "a"), (2, "b")]
        assert [one.name for _, one in models.newest_of_each(connection, after="b")] == ["c"]


def test_tags_and_description_change_and_files_do_not(database: Database) -> None:
    before = made(database, tags={"a": "1", "b": None})
    with database.write() as connection:
        changed = models.change(connection, "digits", "1", Labels({"c": "3"}, ["a"], "new"))
    assert (changed.tags, changed.description) == ({"b": None, "c": "3"}, "new")
    assert changed.digest == before.digest


@pytest.mark.parametrize(
    "new",
    [
        New("../up", [File("a", 1, SHA)], "ada"),
        New("a b", [File("a", 1, SHA)], "ada"),
        New("digits", [], "ada"),
        New("digits", [File("../a", 1, SHA)], "ada"),
        New("digits", [File("/a", 1, SHA)], "ada"),
        New("digits", [File("a", 1, SHA), File("a", 1, OTHER)], "ada"),
        New("digits", [File("a", 1, SHA), File("a/b", 1, OTHER)], "ada"),
        New("digits", [File("a", 1, SHA)], "ada", tags={"": "x"}),
        New("digits", [File("a", 1, SHA)], "ada", description="x" * 10_001),
    ],
)
def test_what_cannot_be_a_model_is_refused(database: Database, new: New) -> None:
    with database.write() as connection, pytest.raises(Invalid):
        models.register(connection, new, T_NS)


def test_who_registered_is_in_the_audit_trail(database: Database) -> None:
    made(database, intent="x")
    made(database, intent="x")
    with database.read() as connection:
        told = [(act.who, act.action) for act in audit.acts(connection, target="digits:1")]
    assert told == [("ada", "register model")]


# --- what runs ask for ---


def test_what_a_script_asks_for_waits_until_it_is_settled(
    database: Database, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.start()
    written.log(asked(tags={"team": "a"}, properties={"k": "v"}, description="text"))
    assert Ingest(database).run(written.folder).registers
    with database.read() as connection:
        [found] = registrations.of_run(connection, "run1", WAITING)
        assert registrations.runs_waiting(connection) == ["run1"]
    assert (found.asked.name, found.asked.path) == ("digits", "outputs/model.pkl")
    assert (found.asked.tags, found.asked.properties) == ({"team": "a"}, {"k": "v"})
    assert found.asked.offset == written.size("logged.1")
    with database.write() as connection:
        assert registrations.is_waiting(connection, "run1", found.asked)
        registrations.settle(connection, "run1", found.asked, version=4)
        assert not registrations.is_waiting(connection, "run1", found.asked)
    with database.read() as connection:
        assert registrations.of_run(connection, "run1", DONE)[0].version == 4
        assert registrations.runs_waiting(connection) == []


def test_a_record_that_is_delivered_twice_is_one_wish(database: Database, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.log(asked())
    Ingest(database).run(written.folder)
    with database.write() as connection:  # as if the server had died before it noted the offset
        connection.exec_driver_sql("DELETE FROM cursors")
    Ingest(database).run(written.folder)
    with database.read() as connection:
        assert len(registrations.of_run(connection, "run1")) == 1


def test_records_of_two_writers_are_two_wishes(database: Database, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.log(asked(), writer="1")
    written.log(asked(), writer="2")
    Ingest(database).run(written.folder)
    with database.read() as connection:
        assert len(registrations.of_run(connection, "run1")) == 2


def test_a_wish_that_makes_no_sense_is_told_and_left_out(
    database: Database, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.log(asked(n="../up"), asked(path=""), asked(tags={"a": 1}), asked())
    Ingest(database).run(written.folder)
    with database.read() as connection:
        assert len(registrations.of_run(connection, "run1")) == 1
        assert len(runs.oddities_of(connection, "run1")) == 3


def test_a_deleted_run_takes_its_wishes_along_and_leaves_its_models(
    database: Database, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.start()
    written.end()
    written.log(asked())
    Ingest(database).run(written.folder)
    made(database, lineage=Lineage("run1", 1, "", "outputs/model.pkl"))
    with database.write() as connection:
        [found] = registrations.of_run(connection, "run1")
        registrations.settle(connection, "run1", found.asked, message="gone")
        assert registrations.of_run(connection, "run1", FAILED)[0].message == "gone"
        connection.exec_driver_sql("UPDATE runs SET status = 'Failed'")
    deletion.delete(database, "run1")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM registrations").scalar() == 0
        assert models.get(connection, "digits").lineage.run == "run1"


def test_a_script_in_a_loop_does_not_fill_the_registry(database: Database, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.log(*(asked() for _ in range(registrations.MAX_OF_RUN + 5)))
    Ingest(database).run(written.folder)
    with database.read() as connection:
        assert len(registrations.of_run(connection, "run1")) == registrations.MAX_OF_RUN
        warnings = runs.row(connection, "run1")["warnings"]
    assert [code for code, _ in warnings] == ["too_many_models"]
