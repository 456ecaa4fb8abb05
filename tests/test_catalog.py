"""The shelves are found by listing."""

from __future__ import annotations

from outlast import catalog


def test_what_lies_on_a_shelf_is_named_with_its_sentence() -> None:
    found = {entry.name: entry for entry in catalog.entries("outlast.server.routes")}
    assert {"about", "runs", "journals", "live"} <= set(found)
    assert found["runs"].about.endswith(".")
    assert found["runs"].module == "outlast.server.routes.runs"


def test_every_shelf_is_there_and_nothing_private_on_it() -> None:
    for shelf, entries in catalog.shelves().items():
        assert all(not entry.name.startswith("_") for entry in entries), shelf
        assert all(entry.about for entry in entries), shelf


def test_loading_a_shelf_imports_all_of_it() -> None:
    names = [module.__name__ for module in catalog.load("outlast.server.routes")]
    assert names == [entry.module for entry in catalog.entries("outlast.server.routes")]
