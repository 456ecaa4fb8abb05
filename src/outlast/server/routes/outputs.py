"""The stored outputs of a run: what there is, one file, and whether all are still what they were.

A file is found by its name in the manifest, never by a path on the disk, and comes as an
attachment in a sandbox: what a job made must not run as a page of this server.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from outlast.artifacts import inside
from outlast.artifacts.verify import verify as verify_all
from outlast.errors import Invalid, NotFound
from outlast.run.manifest import Entry, Manifest
from outlast.server.answers import SANDBOX_POLICY, json_answer
from outlast.server.call import Call
from outlast.server.errors import HttpError
from outlast.server.route import BYTES, Route
from outlast.store import manifests

PIECE_BYTES = 1 << 20
MAX_RANGES = 8


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
            "foreign": [_text(path) for path in manifest.foreign],
            "size_bytes": manifest.size_bytes,
        }
    )


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "path": _text(entry.path),
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "mtime_ns": entry.mtime_ns,
        "origin": entry.origin,
    }


def _text(name: str) -> str:
    """A file's name as JSON can hold it: bytes that aren't UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def one_output(call: Call) -> Response:
    """One stored file as an attachment; Range with one range is honoured."""
    try:
        wanted = "/".join(inside.parts(call.found.parts["path"], allow=":\\"))
    except Invalid:
        raise NotFound(NO_FILE) from None
    manifest = await call.parts.read(manifests.load, call.run_id)
    entry = (
        next((e for e in manifest.entries if _text(e.path) == wanted), None) if manifest else None
    )
    if entry is None:
        raise NotFound(NO_FILE, hint=f"outlast outputs {call.run_id}")
    fd = await call.parts.in_thread(call.parts.blobs.open, entry.sha256)
    return _File(call, fd, entry)


NO_FILE = "the run has no stored output of this name"


def ranged(header: str, size_bytes: int) -> tuple[int, int] | None:
    """Start and stop of the one range asked for; None = the whole file.

    Several ranges are answered with the whole, which the standard allows; more than MAX_RANGES,
    and one that is beyond the file, are refused with 416.
    """
    if not header:
        return None
    unit, _, text = header.partition("=")
    ranges = [part.strip() for part in text.split(",")]
    if len(ranges) > MAX_RANGES:
        raise _beyond(size_bytes)
    found = re.fullmatch(r"(\d{0,18})-(\d{0,18})", ranges[0])
    if unit.strip() != "bytes" or len(ranges) > 1 or found is None or found[0] == "-":
        return None
    if not found[1]:  # the last so many bytes
        start, stop = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start = int(found[1])
        stop = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if start >= stop:
        raise _beyond(size_bytes)
    return start, stop


def _beyond(size_bytes: int) -> HttpError:
    headers = {"Content-Range": f"bytes */{size_bytes}"}
    return HttpError(416, "range", f"the file has {size_bytes} bytes", headers=headers)


class _File(Response):
    """A file, sent as fast as the client takes it; gives the descriptor back in the end."""

    def __init__(self, call: Call, fd: int, entry: Entry) -> None:
        self.call = call
        self.fd = fd
        try:
            size = os.fstat(fd).st_size
            part = ranged(call.headers.get("range", ""), size)
        except BaseException:
            os.close(fd)
            raise
        self.at, self.stop = part or (0, size)
        name = quote(entry.path.rpartition("/")[2].encode("utf-8", "surrogateescape"), safe="")
        headers = {
            "Content-Length": str(self.stop - self.at),
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Content-Security-Policy": SANDBOX_POLICY,
            "Accept-Ranges": "bytes",
            "ETag": f'"{entry.sha256}"',
        }
        if part:
            headers["Content-Range"] = f"bytes {self.at}-{self.stop - 1}/{size}"
        super().__init__(None, 206 if part else 200, headers, BYTES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            while self.at < self.stop and scope["method"] != "HEAD":
                count = min(PIECE_BYTES, self.stop - self.at)
                data = await self.call.parts.in_thread(os.pread, self.fd, count, self.at)
                if not data:
                    raise NotFound("the stored file was cut while it was read")
                self.at += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(self.fd)


async def verify(call: Call) -> Response:
    """Hash every stored file again and compare."""
    manifest = await call.parts.read(manifests.load, call.run_id)
    entries = manifest.entries if manifest else ()
    damaged = await call.parts.in_thread(verify_all, entries, call.parts.blobs)
    problems = [{"path": _text(path), "problem": problem} for path, problem in damaged]
    return json_answer({"is_whole": not problems, "files": len(entries), "problems": problems})


routes = [
    Route("GET", "/api/runs/{id}/outputs", "read", outputs, answer=Outputs),
    Route("GET", "/api/runs/{id}/outputs/{path*}", "read", one_output, answer=BYTES),
    Route("GET", "/api/runs/{id}/verify", "read", verify, answer=Verified),
]
