"""Build one environment: resolve, make it in a folder of its own, and give it its name at the end.

Whoever is killed in the middle leaves no environment, only a folder that the next build removes.
Of two builds of one environment at once, one waits and then finds it there. Needs no network when
it is there already.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from typing import Any, Callable, Dict, Mapping

from outlast.environments import existing, uv
from outlast.environments.cache import BUILDING, LOG, Cache
from outlast.environments.environment import Place, Resolved, kind_of
from outlast.environments.log import Log
from outlast.errors import EnvironmentFailed
from outlast.run.environment import Environment

Tell = Callable[[str, str], None]  # a step and a sentence about it
# waiting: for another build of the same. resolving, installing.
STEPS = ("waiting", "resolving", "installing", "ready", "failed")


class Build:
    """One build; `who` names the run it is for, so that whoever waits for it can say so."""

    def __init__(
        self, cache: Cache, environ: Mapping[str, str], log: Log, tell: Tell, *, who: str
    ) -> None:
        self._cache = cache
        self._environ = environ
        self._log = log
        self._tell = tell
        self._who = who

    def make(self, wanted: Environment, *, is_fresh: bool = False) -> Place:
        """The environment; it is built unless it is there.

        `is_fresh`: resolve anew, so that newer versions are taken. Raises EnvironmentFailed with
        the reason; nothing of it is left then. Raises Invalid when an existing one isn't there.
        """
        environ = uv.clean(self._environ)
        if wanted.kind == "existing":
            return existing.place(wanted)
        digest = self._cache.digest(wanted, environ)
        with self._cache.locked(digest, self._who, self._waits):
            found = None if is_fresh else self._cache.made_for(digest)
            if found is None:
                found = self._resolved_and_made(wanted, environ, digest)
        self._log.say(f"{wanted.title} is ready: {found.prefix}")
        return found

    def _waits(self, holder: str) -> None:
        self._tell("waiting", holder)
        who = f"run {holder}" if holder else "somebody else"
        self._log.say(f"waits: {who} builds the same environment")

    def _resolved_and_made(
        self, wanted: Environment, environ: Dict[str, str], digest: str
    ) -> Place:
        began_s = time.monotonic()
        self._tell("resolving", wanted.title)
        kind = kind_of(wanted)
        resolved = kind.resolve(wanted, environ, self._log)
        key = _key(resolved, digest if resolved.is_in_place else "")
        with self._cache.locked(key, self._who, self._waits):
            self._cache.sweep(mine=key)
            place = self._cache.place(key)
            if place is None:
                self._tell("installing", wanted.title)
                self._make(wanted, resolved, environ, key, began_s)
            self._cache.resolve(digest, key, resolved.notes)
            place = self._cache.place(key, resolved.notes)
        if place is None:
            raise EnvironmentFailed(f"{self._cache.prefix(key)} was removed as soon as it was made")
        return place

    def _make(
        self,
        wanted: Environment,
        resolved: Resolved,
        environ: Dict[str, str],
        key: str,
        began_s: float,
    ) -> None:
        place = self._cache.prefix(key)
        folder = place if resolved.is_in_place else self._cache.temporary(key)
        log_path = os.path.join(self._cache.folder, f"{BUILDING}{key}-log")
        shutil.rmtree(place, ignore_errors=True)  # without a marker, or the sweep had kept it
        copied = self._log.copy_to(log_path)
        try:
            lock = kind_of(wanted).install(wanted, resolved, folder, environ, self._log)
            os.rename(log_path, os.path.join(folder, LOG))
            facts = _facts(wanted, resolved, key, lock, folder, began_s, self._who)
            self._cache.mark(folder, facts)
            if folder != place:
                os.rename(folder, place)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._log.uncopy(copied)
            if os.path.exists(log_path):
                os.unlink(log_path)


def _key(resolved: Resolved, definition: str) -> str:
    parts = (resolved.lock, resolved.python_version, definition, sys.platform, platform.machine())
    said = "\0".join(parts)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _facts(
    wanted: Environment, resolved: Resolved, key: str, lock: str, folder: str, began_s: float,
    who: str,
) -> Dict[str, Any]:  # fmt: skip
    return {
        "format": 1,
        "key": key,
        "name": wanted.name,
        "version": wanted.version,
        "kind": wanted.kind,
        "python_version": resolved.python_version,
        "definition": {k: v for k, v in wanted._asdict().items() if v and k != "variables"},
        "lock": lock,
        "notes": [list(note) for note in resolved.notes],
        "built_ns": time.time_ns(),
        "took_s": round(time.monotonic() - began_s, 3),
        "size_bytes": _size_bytes(folder),
        "built_by": who,
    }


def _size_bytes(folder: str) -> int:
    """Of its files; what is shared with uv's own store by hard links counts too."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(os.path.join(path, name)).st_size
    return total
