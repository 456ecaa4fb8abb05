"""The shelves are found by listing."""

from __future__ import annotations

from outlast import catalog

ROUTES = "outlast.server.routes"


def test_what_lies_on_a_shelf_is_listed_and_nothing_private() -> None:
    found = catalog.modules(ROUTES)
    assert {"about", "runs", "journals", "live"} <= set(found)
    assert not [name for name in found if name.startswith("_")]
    assert found == sorted(found)


def test_loading_a_shelf_imports_all_of_it() -> None:
    names = [module.__name__ for module in catalog.load(ROUTES)]
    assert names == [f"{ROUTES}.{name}" for name in catalog.modules(ROUTES)]
