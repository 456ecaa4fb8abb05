"""The stored outputs of a run: what there is, one file, and whether all are still what they were.

A file is found by its name in the manifest, never by a path on the disk.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from outlast.artifacts import inside
from outlast.artifacts.verify import verify as verify_all
from outlast.errors import Invalid, NotFound
from outlast.run.manifest import Entry, Manifest
from outlast.server.answers import json_answer
from outlast.server.call import Call
from outlast.server.files import StoredFile, shown
from outlast.server.route import BYTES, Route
from outlast.store import manifests


class Outputs(msgspec.Struct):
    digest: str
    attempt: int
    files: list[dict[str, Any]]
    foreign: list[str]
    size_bytes: int


class Verified(msgspec.Struct):
    is_whole: bool
    files: int
    problems: list[dict[str, str]]


async def outputs(call: Call) -> Response:
    """The manifest: path, size, sha256 of every stored file; no files before they are stored."""
    found = await call.parts.read(manifests.load, call.run_id)
    manifest = found or Manifest(call.run_id, 0, ())
    return json_answer(
        {
            "digest": manifest.digest() if found else "",
            "attempt": manifest.attempt,
            "files": [_shown(entry) for entry in manifest.entries],
            "foreign": [shown(path) for path in manifest.foreign],
            "size_bytes": manifest.size_bytes,
        }
    )


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "path": shown(entry.path),
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "mtime_ns": entry.mtime_ns,
        "origin": entry.origin,
    }


async def one_output(call: Call) -> Response:
    """One stored file as an attachment; Range with one range is honoured."""
    try:
        wanted = "/".join(inside.parts(call.found.parts["path"], allow=":\\"))
    except Invalid:
        raise NotFound(NO_FILE) from None
    manifest = await call.parts.read(manifests.load, call.run_id)
    entry = (
        next((e for e in manifest.entries if shown(e.path) == wanted), None) if manifest else None
    )
    if entry is None:
        raise NotFound(NO_FILE, hint=f"outlast outputs {call.run_id}")
    fd = await call.parts.in_thread(call.parts.blobs.open, entry.sha256)
    name = entry.path.encode("utf-8", "surrogateescape")
    return StoredFile(call, fd, name, entry.sha256)


NO_FILE = "the run has no stored output of this name"


async def verify(call: Call) -> Response:
    """Hash every stored file again and compare."""
    manifest = await call.parts.read(manifests.load, call.run_id)
    entries = manifest.entries if manifest else ()
    damaged = await call.parts.in_thread(verify_all, entries, call.parts.blobs)
    problems = [{"path": shown(path), "problem": problem} for path, problem in damaged]
    return json_answer({"is_whole": not problems, "files": len(entries), "problems": problems})


routes = [
    Route("GET", "/api/runs/{id}/outputs", "read", outputs, answer=Outputs),
    Route("GET", "/api/runs/{id}/outputs/{path*}", "read", one_output, answer=BYTES),
    Route("GET", "/api/runs/{id}/verify", "read", verify, answer=Verified),
]
