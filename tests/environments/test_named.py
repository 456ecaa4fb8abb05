"""Saved environments: versions that count up and never change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outlast.environments.named import Named
from outlast.errors import Conflict, Invalid, NotFound


def test_versions_count_up_and_the_same_again_is_the_newest(tmp_path: Path) -> None:
    named = Named(str(tmp_path))
    first = named.save({"name": "digits", "pip": ["numpy"]})
    assert first["version"] == "1"
    assert named.save({"name": "digits", "pip": ["numpy"]}) == first
    second = named.save({"name": "digits", "pip": ["numpy", "scipy"]})
    assert second["version"] == "2"
    assert named.get("digits") == second
    assert named.get("digits", "1") == first
    assert named.versions("digits") == ["1", "2"]
    assert named.names() == ["digits"]


def test_a_version_is_never_changed(tmp_path: Path) -> None:
    named = Named(str(tmp_path))
    kept = named.save({"name": "digits", "version": "v1", "pip": ["numpy"]})
    assert named.save({"name": "digits", "version": "v1", "pip": ["numpy"]}) == kept
    with pytest.raises(Conflict, match="digits:v1"):
        named.save({"name": "digits", "version": "v1", "pip": ["scipy"]})
    assert named.get("digits", "v1") == kept


def test_many_who_save_at_once_get_versions_of_their_own(tmp_path: Path) -> None:
    named = Named(str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        saved = pool.map(lambda n: named.save({"name": "d", "pip": [f"p{n}"]}), range(12))
    versions = [definition["version"] for definition in saved]
    assert sorted(versions, key=int) == [str(number) for number in range(1, 13)]


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    named = Named(str(tmp_path))
    named.save({"name": "digits", "pip": ["numpy"]})
    with pytest.raises(NotFound, match="'digits:7'; it has 1"):
        named.get("digits", "7")
    for name in ("other", "../digits", "."):
        with pytest.raises(NotFound):
            named.get(name)
    with pytest.raises(Invalid, match=r"environment\.name"):
        named.save({"pip": ["numpy"]})
