"""Is every stored file still what it was when it was stored?

Reads and hashes everything that is asked for; repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from outlast.artifacts.blobs import Blobs, Progress
from outlast.errors import Corrupt, NotFound
from outlast.run.manifest import Entry


class Damaged(NamedTuple):
    """A file that isn't whole, or isn't there."""

    path: str
    problem: str


def verify(
    entries: Iterable[Entry], blobs: Blobs, *, progress: Progress | None = None
) -> list[Damaged]:
    """Hash the stored content of each entry again; returns those that differ, with the problem.

    Raises Unreachable when the blobs folder can't be read: then nothing is known about the rest.
    """
    wanted = list(entries)
    done, total = 0, sum(entry.size_bytes for entry in wanted)
    damaged: list[Damaged] = []
    for entry in wanted:
        problem = damage(entry, blobs)
        if problem:
            damaged.append(Damaged(entry.path, problem))
        done += entry.size_bytes
        if progress is not None:
            progress(done, total, entry.path)
    return damaged


def damage(entry: Entry, blobs: Blobs) -> str:
    """What is wrong with the stored content of one entry; '' when it is what it was."""
    try:
        size_bytes = blobs.verify(entry.sha256)
    except (Corrupt, NotFound) as error:
        return error.message
    if size_bytes != entry.size_bytes:
        return f"it has {size_bytes} bytes, not {entry.size_bytes}"
    return ""
