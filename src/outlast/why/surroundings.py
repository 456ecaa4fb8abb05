"""What lies around a run on the node: its last metric, misplaced files, commands of a similar name.

Each look is bounded (entries of a folder, bytes of a journal): `why` answers within a second
whatever a job left behind. Everything returns empty where nothing can be read.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from outlast.errors import JournalError
from outlast.journal.cursor import Cursor
from outlast.run.folder import LAUNCH, LOGGED_PREFIX, RunFolder
from outlast.run.logged import METRIC, NON_FINITE

ENTRIES = 2000
METRIC_TAIL_BYTES = 64 << 10
# Folders that people mean when they write beside `outputs/`.
OUTPUT_LOOKALIKES = ("output", "out", "outs", "results", "result", "Outputs", "Output")


class LastMetric(NamedTuple):
    """The metric point that was logged last."""

    name: str
    value: float | str
    step: int | None
    t_ns: int


class Stray(NamedTuple):
    """A file that was written where no output is collected, or where one will be."""

    path: str  # relative to the working folder where it is below it
    size_bytes: int
    mtime_ns: int
    meant: str  # the declared output whose name it bears, or "outputs/"


def last_metric_of(folder: RunFolder) -> LastMetric | None:
    """The last point in the logged journals, looking only at their ends."""
    newest: LastMetric | None = None
    for path in Path(folder.path).glob(LOGGED_PREFIX + "*"):
        try:
            start = max(0, path.stat().st_size - METRIC_TAIL_BYTES)
            with Cursor(str(path), start) as cursor:
                records = cursor.read_records(METRIC_TAIL_BYTES).records
        except (OSError, JournalError):
            continue  # another journal may still tell
        point = next((_point(item) for item in reversed(records) if item.get("k") == METRIC), None)
        if point and (newest is None or point.t_ns > newest.t_ns):
            newest = point
    return newest


def _point(record: dict[str, Any]) -> LastMetric:
    value = record.get("v")
    if value is None:
        value = NON_FINITE.get(str(record.get("x")), float("nan"))
    step = record.get("s")
    return LastMetric(
        str(record.get("n", "")),
        value if isinstance(value, str) else float(value),
        step if isinstance(step, int) else None,
        int(record.get("t", 0)),
    )


def is_unbuffered(folder: RunFolder) -> bool:
    """Is Python told by the run's environment to print at once? Known while the run isn't over."""
    try:
        with open(folder.file(LAUNCH), "rb") as file:
            return bool(json.load(file)["environ"].get("PYTHONUNBUFFERED"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def strays(folder: str, declared: Sequence[str], since_ns: int) -> tuple[Stray, ...]:
    """Files written since `since_ns` that look like outputs, but lie where none is collected."""
    if not folder or not since_ns:
        return ()
    collected = {os.path.normpath(os.path.join(folder, path)) for path in ("outputs", *declared)}
    meant = {
        os.path.basename(path.rstrip("/")): path
        for path in declared
        if not os.path.lexists(os.path.join(folder, path))
    }
    found = []
    for name in ("", *OUTPUT_LOOKALIKES):
        place = os.path.join(folder, name) if name else folder
        if os.path.normpath(place) in collected:
            continue
        for entry in _entries(place):
            wanted = meant.get(entry.name) or ("outputs/" if name else "")
            try:
                seen = entry.stat(follow_symlinks=False)
            except OSError:  # it went while we looked
                continue
            if wanted and seen.st_mtime_ns >= since_ns and entry.path not in collected:
                path = os.path.join(name, entry.name)
                found.append(Stray(path, seen.st_size, seen.st_mtime_ns, wanted))
    has_outputs = next(_entries(os.path.join(folder, "outputs")), None) is not None
    return tuple(s for s in found if s.meant != "outputs/" or not has_outputs)[:20]


def written(folder: str, declared: Sequence[str], since_ns: int) -> tuple[Stray, ...]:
    """Files written since `since_ns` right where outputs are collected, the newest last."""
    if not folder or not since_ns:
        return ()
    found: dict[str, Stray] = {}
    for name in ("outputs", *declared):
        place = os.path.normpath(os.path.join(folder, name))
        for path in [entry.path for entry in _entries(place)] or [place]:
            with contextlib.suppress(OSError):  # it isn't there, or went while we looked
                seen = os.stat(path, follow_symlinks=False)
                if stat.S_ISREG(seen.st_mode) and seen.st_mtime_ns >= since_ns:
                    shown = os.path.relpath(path, folder) if path.startswith(folder + "/") else path
                    found[path] = Stray(shown, seen.st_size, seen.st_mtime_ns, name)
    return tuple(sorted(found.values(), key=lambda output: (output.mtime_ns, output.path)))[-20:]


def _entries(place: str) -> Iterator[os.DirEntry[str]]:
    """The regular files right in this folder; none when it can't be read."""
    try:
        with os.scandir(place) as entries:
            for _, entry in zip(range(ENTRIES), entries, strict=False):
                if entry.is_file(follow_symlinks=False):
                    yield entry
    except OSError:
        return


def near_commands(command: str, search: str, folder: str) -> tuple[str, ...]:
    """Programs whose names are close to `command`, on the search path or in the working folder."""
    name = os.path.basename(command)
    names: set[str] = set()
    places = [folder] if os.sep in command else [*search.split(os.pathsep), folder]
    for place in filter(None, places):
        names.update(entry.name for entry in _entries_or_links(place))
    return tuple(difflib.get_close_matches(name, sorted(names - {name}), 3, 0.7))


def _entries_or_links(place: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            yield from (entry for _, entry in zip(range(ENTRIES), entries, strict=False))
    except OSError:
        return


def free_disk_bytes(path: str) -> int | None:
    """Room for this user on the file system of `path`; None when it can't be told."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
