"""Environments that were given a name: definitions, in versions 1, 2, 3 …, never changed.

`.named/<name>/<version>.json` in the folder of environments. A name needn't be built.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any, Dict, List, Mapping, Tuple

from outlast.environments.cache import FOLDER, Cache
from outlast.errors import Conflict, Invalid, NotFound
from outlast.run import environment


class Named:
    """The named environments of one workspace."""

    def __init__(self, home: str) -> None:
        self._folder = os.path.join(os.path.abspath(home), FOLDER, ".named")

    def save(self, definition: Mapping[str, Any]) -> Dict[str, Any]:
        """Keep it under its name; returns it with its version.

        Without a version: the next number; the same as the newest again: that one. Raises Invalid
        without a name, Conflict when the version is there and is another.
        """
        wanted = environment.checked("environment", definition)
        name = str(wanted.get("name", ""))
        if not name:
            raise Invalid.field("environment.name", name, "give a name to save it under")
        folder = os.path.join(self._folder, name)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        while True:
            asked = str(wanted.get("version", ""))
            versions = self.versions(name)
            if not asked and versions:
                newest = self.get(name, versions[-1])
                if {**newest, "version": ""} == {**wanted, "version": ""}:
                    return newest
            numbers = [int(version) for version in versions if version.isdigit()]
            version = asked or str(max(numbers, default=0) + 1)
            kept = {**wanted, "version": version}
            try:
                _write_new(os.path.join(folder, f"{version}.json"), kept)
                return kept
            except FileExistsError:
                if not asked:
                    continue  # somebody was faster
                if self.get(name, version) == kept:
                    return kept
                raise Conflict(
                    f"environment {name}:{version} is another already",
                    hint="leave the version out for the next one",
                ) from None

    def get(self, name: str, version: str = "") -> Dict[str, Any]:
        """The definition; by default of the newest version. Raises NotFound."""
        versions = self.versions(name)
        if versions and (not version or version in versions):
            path = os.path.join(self._folder, name, f"{version or versions[-1]}.json")
            with open(path, encoding="utf-8") as file:
                return environment.checked("environment", json.load(file))
        what = f"{name}:{version}" if version else name
        known = f"; it has {', '.join(versions)}" if versions else ""
        raise NotFound(f"there is no environment {what!r}{known}", hint="outlast env ls")

    def built(self, ref: str, cache: Cache, environ: Mapping[str, str]) -> str:
        """The key of a built environment: by its start, by a saved name or the one it was built by.

        Raises NotFound, also for a saved one that isn't built here.
        """
        name, _, version = ref.partition(":")
        if not self.versions(name):
            return cache.find_key(ref)
        place = cache.find(environment.Environment.of(self.get(name, version)), environ)
        if place is None:
            raise NotFound(
                f"environment {ref!r} is saved, but not built", hint=f"outlast env build {ref}"
            )
        if not place.key:
            raise NotFound(
                f"environment {ref!r} is {place.prefix}, used as it is: nothing is built"
            )
        return place.key

    def versions(self, name: str) -> List[str]:
        """Oldest first; [] for an unknown name."""
        if "/" in name or name.startswith("."):
            return []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            entries = os.listdir(os.path.join(self._folder, name))
            return sorted((entry[:-5] for entry in entries if entry.endswith(".json")), key=_order)
        return []

    def names(self) -> List[str]:
        """All of them, sorted."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self._folder) if self.versions(name))
        return []


def _order(version: str) -> Tuple[int, str]:
    return (int(version), "") if version.isdigit() else (1 << 62, version)


def _write_new(path: str, data: Mapping[str, Any]) -> None:
    """All of it under a name that nobody has, or FileExistsError."""
    fresh = f"{path}.{secrets.token_hex(4)}"  # two threads may save at once
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    finally:
        os.unlink(fresh)
