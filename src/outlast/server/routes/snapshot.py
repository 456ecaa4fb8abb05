"""The code that a run works on: the files of its snapshot, and one of them.

As outputs are served: a file is found by its name in the list, never by a path on the disk.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from starlette.responses import Response

from outlast.artifacts import inside, snapshot
from outlast.artifacts.blobs import Blobs
from outlast.artifacts.snapshot import Snapshot
from outlast.errors import Invalid, NotFound
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.files import StoredFile, shown
from outlast.server.route import BYTES, Route
from outlast.store import runs

NO_FILE = "the run's snapshot has no file of this name"
LISTS_KEPT = 4  # one by one, the files of a snapshot are asked for right after each other


class SnapshotFiles(msgspec.Struct):
    digest: str
    files: list[dict[str, Any]]
    size_bytes: int


@lru_cache(LISTS_KEPT)
def _listed(blobs: Blobs, digest: str) -> Snapshot:
    return snapshot.load(digest, blobs)


async def _of(call: Call) -> Snapshot:
    source = (await call.parts.read(runs.spec_of, call.run_id)).source
    if source is None or not source.digest:
        raise NotFound(f"run {call.run_id} has no snapshot: it runs where its code stands")
    return await call.parts.in_thread(_listed, call.parts.blobs, source.digest)


async def snapshot_files(call: Call) -> Response:
    """Path, size, sha256 and mode of every file that the run works on; of a link, its target is
    the content.
    """
    found = await _of(call)
    files = [
        {**entry._asdict(), "path": shown(entry.path), "is_link": entry.is_link}
        for entry in found.entries
    ]
    return json_answer({"digest": found.digest, "files": files, "size_bytes": found.size_bytes})


async def snapshot_file(call: Call) -> Response:
    """One file of the snapshot as an attachment; Range with one range is honoured."""
    try:
        wanted = "/".join(inside.parts(call.found.parts["path"], allow=":\\"))
    except Invalid:
        raise NotFound(NO_FILE) from None
    found = await _of(call)
    entry = next((e for e in found.entries if shown(e.path) == wanted), None)
    if entry is None:
        raise NotFound(NO_FILE)
    fd = await call.parts.in_thread(call.parts.blobs.open, entry.sha256)
    return StoredFile(call, fd, entry.path.encode("utf-8", "surrogateescape"), entry.sha256)


routes = [
    Route("GET", "/api/runs/{id}/snapshot", "read", snapshot_files, answer=SnapshotFiles),
    Route("GET", "/api/runs/{id}/snapshot/{path*}", "read", snapshot_file, answer=BYTES),
]
