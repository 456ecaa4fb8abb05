"""Datasets and datastores in the index: numbers, one definition twice, tombstones, defaults."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.errors import Conflict, Invalid, NotFound
from outlast.run.dataset import Definition, of_paths
from outlast.store import datasets, datastores
from outlast.store.database import Database
from outlast.store.datasets import New, Version
from outlast.store.numbered import Labels
from tests.store.folders import T_NS

HOME = "/home/ada/.outlast"
ONE, OTHER = of_paths("/data/a"), of_paths("/data/b")


def made(database: Database, definition: Definition = ONE, **more: Any) -> Version:
    new = New(more.pop("name", "digits"), definition, "ada", **more)
    return database.transact(lambda connection: datasets.register(connection, new, T_NS))


def test_versions_count_from_one_by_name_and_survive_deletion(database: Database) -> None:
    assert [made(database).version, made(database, OTHER).version] == [1, 2]
    assert made(database, name="letters").version == 1
    with database.write() as connection:
        datasets.delete(connection, "digits", "2", T_NS)
        assert datasets.get(connection, "digits").version == 1
        with pytest.raises(NotFound, match="was deleted"):
            datasets.get(connection, "digits", "2")
    assert made(database).version == 3


def test_the_same_intent_makes_one_version(database: Database) -> None:
    first = made(database, intent="request/1")
    assert made(database, intent="request/1") == first
    with pytest.raises(Conflict):
        made(database, name="letters", intent="request/1")


def test_a_name_that_is_taken_needs_the_same_definition_or_a_new_version(
    database: Database,
) -> None:
    first = made(database, is_new_version=False)
    assert made(database, is_new_version=False) == first
    with pytest.raises(Conflict, match="another definition"):
        made(database, OTHER, is_new_version=False)
    assert made(database, OTHER).version == 2


def test_found_by_id_newest_first_and_page_by_page(database: Database) -> None:
    made(database, digest="ab" * 32, files=3)
    made(database, OTHER, name="letters")
    made(database)
    with database.read() as connection:
        assert datasets.of_id(connection, ONE.id).version == 2
        with pytest.raises(NotFound):
            datasets.of_id(connection, "nothing")
        pages = datasets.versions(connection, "digits", before=2)
        assert [(one.version, one.files) for one in pages] == [(1, 3)]
        listed = datasets.newest_of_each(connection, after="digits")
        assert [(count, one.name) for count, one in listed] == [(1, "letters")]
        assert Definition.from_dict(datasets.get(connection, "digits").definition) == ONE


def test_tags_and_description_change_and_nothing_else_does(database: Database) -> None:
    made(database, tags={"a": "1", "b": None}, description="first")
    with database.write() as connection:
        datasets.change(connection, "digits", "1", Labels({"c": "3"}, ["a"], "second"))
        found = datasets.get(connection, "digits")
    assert (found.tags, found.description) == ({"b": None, "c": "3"}, "second")


@pytest.mark.parametrize(
    "more", [{"name": "a/b"}, {"tags": {"": "x"}}, {"digest": "no"}, {"description": "\0"}]
)
def test_what_cannot_be_kept_is_refused(database: Database, more: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        made(database, **more)


def add(database: Database, name: str, root: str = "/scans", **more: Any) -> datastores.Datastore:
    return database.transact(
        lambda connection: datastores.register(
            connection, HOME, name, root, facts=more.pop("facts", {}), by="ada", now_ns=T_NS, **more
        )
    )


def test_every_workspace_has_two_datastores_and_one_is_the_default(database: Database) -> None:
    with database.write() as connection:
        found = datastores.listed(connection, HOME)
        assert [(one.name, one.is_default) for one in found] == [
            ("workspaceblobstore", True),
            ("workspacefilestore", False),
        ]
        assert datastores.get(connection, HOME, "").root == f"{HOME}/datastores/workspaceblobstore"
        with pytest.raises(Conflict, match="workspace's own"):
            datastores.remove(connection, HOME, "workspaceblobstore", by="ada", now_ns=T_NS)


def test_a_default_is_given_away_and_comes_back(database: Database) -> None:
    add(database, "scans")
    with database.write() as connection:
        for name in ("scans", "workspacefilestore", "scans"):
            datastores.set_default(connection, HOME, name, by="ada", now_ns=T_NS)
            found = datastores.listed(connection, HOME)
            assert [one.name for one in found if one.is_default] == [name]
        datastores.remove(connection, HOME, "scans", by="ada", now_ns=T_NS)
        assert datastores.get(connection, HOME, "").name == "workspaceblobstore"
        with pytest.raises(NotFound):
            datastores.set_default(connection, HOME, "scans", by="ada", now_ns=T_NS)


def test_a_name_has_one_root(database: Database) -> None:
    assert add(database, "scans") == add(database, "scans")
    with pytest.raises(Conflict):
        add(database, "scans", "/other")
    assert add(database, "scans", "/other", is_overwriting=True).root == "/other"
    assert add(database, "own", "").root == f"{HOME}/datastores/own"
    for name, root in (("a/b", "/x"), ("a", "x"), ("a", "/a/../b"), ("a", "file:///x")):
        with pytest.raises(Invalid):
            add(database, name, root)
    with pytest.raises(Conflict):
        add(database, "workspaceblobstore")
