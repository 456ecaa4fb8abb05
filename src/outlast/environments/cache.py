"""Where environments lie: `$OUTLAST_HOME/environments/<key>/`, each whole or not there.

    <key>/                the environment; `outlast.json` in it is the marker, written last
    .resolved/<digest>    which key was made for this definition: {"key", "notes"}
    .locks/<name>         who builds it holds its flock; the content names who
    .building-<key>-*     a build under way, or what a killed one left (its lock is free then)
    .named/               see `named`

A folder without a marker is nobody's environment. Nothing is built here, see `build`.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set

from outlast import process
from outlast.environments import conda, existing
from outlast.environments.environment import Place, activation
from outlast.errors import NotFound
from outlast.run.environment import Environment

FOLDER = "environments"
MARKER = "outlast.json"
LOG = "build.log"
BUILDING = ".building-"
LEAST_AGE_S = 3600.0  # what was used so lately may be about to be used again
_KEY = re.compile(r"[0-9a-f]{32}")
_ROW = (
    "key", "name", "kind", "python_version", "packages", "size_bytes", "built_ns", "used_ns",
)  # fmt: skip
_SKIPPED = re.compile(r"\.|__pycache__$|build$|dist$|.*\.egg-info$")


class Freed(NamedTuple):
    """What a clean-up removed."""

    keys: List[str]
    size_bytes: int


class Cache:
    """The environments of one workspace."""

    def __init__(self, home: str) -> None:
        self.folder = os.path.join(os.path.abspath(home), FOLDER)

    def prefix(self, key: str) -> str:
        return os.path.join(self.folder, key)

    def digest(self, wanted: Environment, environ: Mapping[str, str]) -> str:
        """What stands for this definition on this machine: the same digest, the same environment.

        Names, variables and Docker settings don't count; the contents of local packages do.
        """
        more = [sys.platform, platform.machine()]
        if not wanted.python:
            more.append(platform.python_version())
        if wanted.kind == "conda":
            more.append(conda.chosen(environ) or "pypi")
        more += [_contents(line) for line in wanted.pip if not line.startswith("-")]
        return wanted.digest(*more)

    def find(self, wanted: Environment, environ: Mapping[str, str]) -> Optional[Place]:
        """The environment, if it is there whole; it counts as used now. Raises Invalid."""
        if wanted.kind == "existing":
            return existing.place(wanted)
        return self.made_for(self.digest(wanted, environ))

    def made_for(self, digest: str) -> Optional[Place]:
        """The environment that this definition means, if it is there whole."""
        found = load(os.path.join(self.folder, ".resolved", digest)) or {}
        key, notes = found.get("key"), found.get("notes")
        if not isinstance(key, str) or not _KEY.fullmatch(key) or not isinstance(notes, list):
            return None  # none, or not written by this program: it is built anew
        return self.place(key, notes)

    def place(self, key: str, notes: Iterable[Iterable[str]] = ()) -> Optional[Place]:
        """The environment of this key, if it is whole; it counts as used now."""
        prefix = self.prefix(key)
        facts = self.facts(key)
        if facts is None or not _is_whole(prefix, facts):
            return None
        with contextlib.suppress(OSError):
            os.utime(os.path.join(prefix, MARKER))
        python = os.path.join(prefix, "bin", "python")
        told = tuple((code, text) for code, text in notes)
        return Place(key, prefix, python, told, activation(prefix))

    def facts(self, key: str) -> Optional[Dict[str, Any]]:
        """What its marker says; None without one."""
        return load(os.path.join(self.prefix(key), MARKER))

    def resolve(self, digest: str, key: str, notes: Iterable[Iterable[str]]) -> None:
        """From now on this definition means that key; `notes` say how it differs from that."""
        told = {"key": key, "notes": [list(note) for note in notes]}
        write(os.path.join(self.folder, ".resolved", digest), told)

    def mark(self, folder: str, facts: Mapping[str, Any]) -> None:
        """Write the marker: from now on, under its own name, the environment is whole."""
        write(os.path.join(folder, MARKER), {**facts, "boot_id": process.boot_id()})

    @contextlib.contextmanager
    def locked(self, name: str, who: str, waits: Callable[[str], None]) -> Iterator[None]:
        """Nobody else builds it meanwhile. `waits` is told who does, before it is waited for."""
        fd = self._lock(name)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits(os.pread(fd, 200, 0).decode("utf-8", "replace").strip())
                fcntl.flock(fd, fcntl.LOCK_EX)
            os.ftruncate(fd, 0)
            os.pwrite(fd, who.encode() + b"\n", 0)
            yield
        finally:
            os.ftruncate(fd, 0)
            os.close(fd)

    def _lock(self, name: str) -> int:
        folder = os.path.join(self.folder, ".locks")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def temporary(self, key: str) -> str:
        """The folder in which a build goes on; it isn't made."""
        return os.path.join(self.folder, f"{BUILDING}{key}-{secrets.token_hex(4)}")

    def keys(self) -> List[str]:
        """Of all environments that have a marker."""
        return [
            name for name in self._names() if _KEY.fullmatch(name) and self.facts(name) is not None
        ]

    def shown(self, key: str) -> Dict[str, Any]:
        """What its marker says, where it lies, and when it was last used. Raises NotFound."""
        facts = self.facts(key)
        try:
            used_ns = os.stat(os.path.join(self.prefix(key), MARKER)).st_mtime_ns
        except FileNotFoundError:
            facts = None
        if facts is None:
            raise NotFound(f"environment {key} isn't there any more", hint="outlast env ls")
        packages = sum(1 for line in facts["lock"].splitlines() if line[:1].isalnum())
        return {**facts, "prefix": self.prefix(key), "packages": packages, "used_ns": used_ns}

    def rows(self) -> List[Dict[str, Any]]:
        """A line for each environment."""
        found: List[Dict[str, Any]] = []
        for key in self.keys():
            with contextlib.suppress(NotFound):  # removed meanwhile
                shown = self.shown(key)
                found.append({name: shown[name] for name in _ROW})
        return found

    def find_key(self, ref: str) -> str:
        """The one key that begins so, or whose environment is called so. Raises NotFound."""
        keys = self.keys()
        found = [key for key in keys if key.startswith(ref)] if len(ref) >= 4 else []
        if not found:
            found = [key for key in keys if (self.facts(key) or {}).get("name") == ref]
        if len(found) != 1:
            what = "there are several environments" if found else "there is no built environment"
            raise NotFound(f"{what} {ref!r}", hint="outlast env ls")
        return found[0]

    def sweep(self, *, mine: str = "") -> None:
        """Remove what killed builds left; one that goes on isn't touched.

        `mine`: the key whose lock the caller holds.
        """
        for name in self._names():
            key = name[len(BUILDING) :].split("-")[0] if name.startswith(BUILDING) else name
            path = os.path.join(self.folder, name)
            is_left = name.startswith((BUILDING, ".removed-")) or (
                _KEY.fullmatch(name) is not None and self.facts(name) is None
            )
            if is_left and key == mine:
                _remove(path)
            elif is_left:
                with self._unlocked(key) as is_free:
                    if is_free and not (name == key and self.facts(key)):
                        _remove(path)

    def prune(self, used: Set[str], *, older_than_s: float, is_dry_run: bool = False) -> Freed:
        """Remove what nobody has used for so long; not what `used` names, nor what is built now."""
        removed: List[str] = []
        size_bytes = 0
        for key in self.keys():
            marker = os.path.join(self.prefix(key), MARKER)
            with contextlib.suppress(FileNotFoundError):
                age_s = time.time() - os.stat(marker).st_mtime
                if key in used or age_s < max(older_than_s, LEAST_AGE_S):
                    continue
                facts = self.facts(key) or {}
                if is_dry_run or self._remove(key):
                    removed.append(key)
                    size_bytes += int(facts.get("size_bytes", 0))
        if not is_dry_run:
            self.sweep()
        return Freed(removed, size_bytes)

    def _remove(self, key: str) -> bool:
        with self._unlocked(key) as is_free:
            if not is_free:
                return False
            # Under another name first: a half-removed one must not be taken for whole.
            doomed = os.path.join(self.folder, f".removed-{key}-{secrets.token_hex(4)}")
            os.rename(self.prefix(key), doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            return True

    @contextlib.contextmanager
    def _unlocked(self, key: str) -> Iterator[bool]:
        fd = self._lock(key)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)

    def _names(self) -> List[str]:
        try:
            return sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []


def _is_whole(prefix: str, facts: Mapping[str, Any]) -> bool:
    if not os.access(os.path.join(prefix, "bin", "python"), os.X_OK):
        return False  # the interpreter that it was made with is gone
    if facts.get("boot_id") == process.boot_id():
        return True
    # After a power cut the name may be there and the bytes not: ask once, then remember.
    if not _has_its_files(prefix):
        return False
    write(os.path.join(prefix, MARKER), {**facts, "boot_id": process.boot_id()})
    return True


def _has_its_files(prefix: str) -> bool:
    """Has each installed file the size that its package's RECORD says?"""
    for folder, _, files in os.walk(os.path.join(prefix, "lib")):
        if "RECORD" not in files or not folder.endswith(".dist-info"):
            continue
        with open(os.path.join(folder, "RECORD"), newline="", encoding="utf-8") as record:
            for row in csv.reader(record):
                path = os.path.join(os.path.dirname(folder), row[0])
                try:
                    if row[2] and os.stat(path).st_size != int(row[2]):
                        return False
                except (OSError, ValueError, IndexError):
                    return False
    return True


def _remove(path: str) -> None:
    """What can't be removed stays, and is tried again the next time."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _contents(line: str) -> str:
    """For a package that lies on this machine: what changes when it is changed. Else ""."""
    path = line.split(" @ file://")[-1].split("[")[0]
    if not path.startswith("/"):
        return ""
    if not os.path.isdir(path):
        return _stamp(path)
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not _SKIPPED.match(name))
        found += [_stamp(os.path.join(folder, name)) for name in sorted(files)]
    return "\n".join(found)


def _stamp(path: str) -> str:
    try:
        stat = os.stat(path)
    except OSError:
        return f"{path} -"
    return f"{path} {stat.st_size} {stat.st_mtime_ns}"


def load(path: str) -> Optional[Dict[str, Any]]:
    """The object in a JSON file; None when there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def write(path: str, data: Mapping[str, Any]) -> None:
    """Replace a JSON file: the old one or the new one at every moment, also after a power cut."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}.{secrets.token_hex(4)}"  # threads of the server write as well
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, path)
